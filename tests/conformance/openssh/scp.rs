//! Files through `scp`, over SFTP and in the old protocol.

use super::{
    Plain,
    tree::{far, make_tree, near, note_tree},
};
use crate::{run::noise, scene::Scene};
use anyhow::Result;
use std::fs;

pub(super) const CASES: &[Plain] = &[
    ("scp::up", |scene| scp_up(scene, &[])),
    ("scp::down", |scene| scp_down(scene, &[])),
    ("scp::a_tree", |scene| scp_tree(scene, &[])),
    ("scp::failures", |scene| scp_failures(scene, &[])),
    ("scp::old_protocol_up", |scene| scp_up(scene, &["-O"])),
    ("scp::old_protocol_down", |scene| scp_down(scene, &["-O"])),
    ("scp::old_protocol_a_tree", |scene| scp_tree(scene, &["-O"])),
    ("scp::old_protocol_failures", |scene| scp_failures(scene, &["-O"])),
];

/// Runs `scp`; `target:` stands before what is there.
fn scp(scene: &Scene<'_>, name: &str, options: &[&str], from: &[String], to: &str) -> Result<()> {
    let mut scp = scene.side.client("scp");
    scene.observe(name, scp.args(["-q"]).args(options).args(from).arg(to).current_dir(scene.dir()))
}

fn scp_up(scene: &Scene<'_>, options: &[&str]) -> Result<()> {
    for length in [0, 1, 32_768, 32_769, 4 << 20] {
        scene.file("up", noise(length))?;
        scp(scene, &length.to_string(), options, &[near(scene, "up")], &far(scene, "copy"))?;
        scene.bytes(&format!("{length} copied"), &fs::read(scene.path("copy"))?);
    }
    Ok(())
}

fn scp_down(scene: &Scene<'_>, options: &[&str]) -> Result<()> {
    for length in [0, 1, 32_768, 32_769, 4 << 20] {
        scene.file("there", noise(length))?;
        scp(scene, &length.to_string(), options, &[far(scene, "there")], &near(scene, "copy"))?;
        scene.bytes(&format!("{length} copied"), &fs::read(scene.path("copy"))?);
    }
    Ok(())
}

fn scp_tree(scene: &Scene<'_>, options: &[&str]) -> Result<()> {
    make_tree(scene, "tree")?;
    let options: Vec<_> = options.iter().copied().chain(["-r", "-p"]).collect();
    scp(scene, "up", &options, &[near(scene, "tree")], &far(scene, "far"))?;
    note_tree(scene, "far", &scene.path("far"), "%y %m %p")?;
    scp(scene, "down", &options, &[far(scene, "tree")], &near(scene, "back"))?;
    note_tree(scene, "back", &scene.path("back"), "%y %m %p")
}

fn scp_failures(scene: &Scene<'_>, options: &[&str]) -> Result<()> {
    fs::create_dir(scene.path("folder"))?;
    scene.file("plain", "x")?;
    scp(scene, "no such file", options, &[far(scene, "missing")], &near(scene, "x"))?;
    scp(scene, "no such folder", options, &[near(scene, "plain")], &far(scene, "missing/x"))?;
    scp(scene, "a folder", options, &[far(scene, "folder")], &near(scene, "x"))?;
    scp(scene, "several to a file", options, &[near(scene, "plain"), near(scene, "plain")], &far(scene, "plain"))?;
    scp(scene, "one of two", options, &[far(scene, "missing"), far(scene, "plain")], &near(scene, "folder"))
}

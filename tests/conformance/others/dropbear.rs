//! Dropbear's `dbclient`, which has its own way of naming jump hosts.

use crate::{
    openssh::{Plain, forward::shouter},
    run::{noise, run},
    scene::Scene,
};
use anyhow::Result;
use std::process::Command;

pub(super) const CASES: &[Plain] =
    &[("exec::streams_and_status", streams_and_status), ("exec::input_comes_back", input_comes_back), ("forward::a_port", port)];

/// `dbclient <options> [jump,]host`, which takes host keys unseen.
fn dbclient(scene: &Scene<'_>, options: &[&str]) -> Command {
    let (account, host, port) = (scene.side.account(), scene.side.host(), scene.side.port());
    let way = scene.side.jump().map(|jump| format!("{account}@127.0.0.1/{jump},")).unwrap_or_default();
    let mut dbclient = Command::new(&scene.world.others.dbclient);
    dbclient.args(["-y", "-y", "-q", "-i"]).arg(&scene.world.others.dropbear_key);
    dbclient.args(options).arg(format!("{way}{account}@{host}/{port}"));
    dbclient
}

/// What it printed and how it ended; not what it says of host keys, once a hop.
fn observe(scene: &Scene<'_>, name: &str, dbclient: &mut Command, input: &[u8]) -> Result<()> {
    let mut outcome = run(dbclient, input)?;
    let told = |line: &&str| !line.is_empty() && !line.contains("Caution");
    outcome.err = outcome.err.lines().filter(told).map(|line| format!("{line}\n")).collect();
    scene.outcome(name, &outcome);
    Ok(())
}

fn streams_and_status(scene: &Scene<'_>) -> Result<()> {
    observe(scene, "apart", dbclient(scene, &[]).arg("echo out; echo err >&2; exit 7"), &[])
}

fn input_comes_back(scene: &Scene<'_>) -> Result<()> {
    [0, 1, 32_768, 4 << 20]
        .into_iter()
        .try_for_each(|length| observe(scene, &length.to_string(), dbclient(scene, &[]).arg("cat"), &noise(length)))
}

fn port(scene: &Scene<'_>) -> Result<()> {
    observe(scene, "", &mut dbclient(scene, &["-B", &format!("127.0.0.1:{}", shouter()?)]), b"said")
}

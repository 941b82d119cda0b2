//! Bytes through standard input and output.

use super::Plain;
use crate::{
    run::{noise, run},
    scene::Scene,
};
use anyhow::{Result, ensure};

pub(super) const CASES: &[Plain] = &[
    ("transfer::lengths_around_a_packet", lengths),
    ("transfer::large_input", up),
    ("transfer::large_output", down),
    ("transfer::both_ways_at_once", both),
    ("transfer::the_last_bytes_before_the_end", last_bytes),
    ("transfer::new_keys_on_the_way_up", rekeyed_up),
    ("transfer::new_keys_on_the_way_down", rekeyed_down),
    ("transfer::compressed", compressed),
];

const LARGE: usize = 16 << 20;

fn lengths(scene: &Scene<'_>) -> Result<()> {
    for packets in [1, 2, 4] {
        for length in [32_768 * packets - 1, 32_768 * packets, 32_768 * packets + 1] {
            let bytes = noise(length);
            let outcome = run(scene.ssh(&[]).arg("cat"), &bytes)?;
            ensure!(outcome.out == bytes, "{length} bytes went, {} came", outcome.out.len());
            scene.outcome(&length.to_string(), &outcome);
        }
    }
    Ok(())
}

fn up(scene: &Scene<'_>) -> Result<()> {
    scene.outcome("", &run(scene.ssh(&[]).arg("sha256sum"), &noise(LARGE))?);
    Ok(())
}

fn down(scene: &Scene<'_>) -> Result<()> {
    let file = scene.file("large", noise(LARGE))?;
    scene.exec("", &format!("cat {}", file.display()))
}

fn both(scene: &Scene<'_>) -> Result<()> {
    scene.outcome("", &run(scene.ssh(&[]).arg("cat"), &noise(LARGE))?);
    Ok(())
}

/// Output, status, end of file and close come in this order, or something is lost now and then.
fn last_bytes(scene: &Scene<'_>) -> Result<()> {
    for round in 0..12 {
        scene.exec(&round.to_string(), &format!("head -c {} /dev/zero; printf end; exit {round}", 32_768 * round + 1))?;
    }
    Ok(())
}

fn rekeyed_up(scene: &Scene<'_>) -> Result<()> {
    scene.outcome("", &run(scene.ssh(&["-o", "RekeyLimit=1M"]).arg("sha256sum"), &noise(LARGE))?);
    Ok(())
}

fn rekeyed_down(scene: &Scene<'_>) -> Result<()> {
    let file = scene.file("large", noise(LARGE))?;
    scene.observe("", scene.ssh(&["-n", "-o", "RekeyLimit=1M"]).arg(format!("cat {}", file.display())))
}

fn compressed(scene: &Scene<'_>) -> Result<()> {
    scene.outcome("", &run(scene.ssh(&["-C"]).arg("cat"), &noise(1 << 20))?);
    Ok(())
}

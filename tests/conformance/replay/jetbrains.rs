//! JetBrains Gateway: many short commands and small files, a connection for nearly each.

use crate::{
    openssh::Plain,
    run::{noise, run},
    scene::Scene,
    side::TARGET,
};
use anyhow::Result;
use std::{fs, thread};

pub(super) const CASES: &[Plain] = &[("jetbrains::short_connections", connections), ("jetbrains::files_between_commands", files)];

/// In how many rows the connections come.
const ROWS: usize = 4;
const EACH: usize = 25;

fn connections(scene: &Scene<'_>) -> Result<()> {
    let row = |row: usize| {
        let commands = (0..EACH).map(move |n| format!("sh -c 'echo {row}.{n}; uname -s; exit {n}'"));
        let clients: Vec<_> = commands.map(|command| (scene.ssh(&["-n", "-T"]), command)).collect();
        thread::spawn(move || -> Result<Vec<_>> {
            clients.into_iter().map(|(mut ssh, command)| run(ssh.arg(command), &[])).collect()
        })
    };
    let rows: Vec<_> = (0..ROWS).map(row).collect();
    for (row, outcomes) in rows.into_iter().enumerate() {
        for (n, outcome) in outcomes.join().map_err(|_| anyhow::anyhow!("a row panicked"))??.iter().enumerate() {
            scene.outcome(&format!("{row}.{n}"), outcome);
        }
    }
    Ok(())
}

fn files(scene: &Scene<'_>) -> Result<()> {
    let dir = scene.dir().display();
    for n in 0..15 {
        scene.file("worker", noise(n * 10_000))?;
        let mut sftp = scene.side.client("sftp");
        let batch = format!("-mkdir {dir}/cache\nput {dir}/worker {dir}/cache/{n}\nchmod 755 {dir}/cache/{n}\n");
        scene.outcome(&format!("upload {n}"), &run(sftp.args(["-q", "-b", "-", TARGET]), batch.as_bytes())?);
        scene.exec(&format!("check {n}"), &format!("test -x {dir}/cache/{n} && sha256sum < {dir}/cache/{n}"))?;
    }
    scene.note("files", fs::read_dir(scene.path("cache"))?.count());
    Ok(())
}

//! A reader that stalls costs neither daemon nor agent memory.

use crate::{Run::Alone, Test};
use anyhow::{Context, Result, ensure};
use e2e::{Session, Stack, cost::resident};
use std::{io::Read, process::Stdio, thread, time::Duration};

pub(crate) const TESTS: &[Test] = &[("slow_readers::four_gibibytes_to_a_stalled_reader_cost_little", Alone(stalled))];

const PIECE: usize = 8 << 20;
/// Each of the two may grow by less than this.
const BOUND: usize = 32 << 20;

fn stalled(world: &mut Stack) -> Result<()> {
    let alice = world.user("alice")?;
    alice.run("user@ws-796636", "true")?.printed("")?;
    let workspace = world.workspaces.iter().find(|workspace| workspace.id == "796636").context("no such workspace")?;
    let parts = [("daemon", world.daemon.process.pid()), ("agent", workspace.agent.pid())];
    let before = parts.map(|(_, pid)| resident(pid));
    let mut ssh = alice.quiet_ssh();
    ssh.args(["-n", "user@ws-796636", "yes | head -c 4294967296"]);
    let mut child = ssh.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut output = child.stdout.take().context("no output")?;
    let mut piece = vec![0; PIECE];
    for _ in 0..8 {
        output.read_exact(&mut piece)?;
        ensure!(piece.chunks(2).all(|line| line == b"y\n"), "other bytes came");
        // The reader stalls meanwhile, and all that is on its way piles up.
        thread::sleep(Duration::from_millis(500));
        for ((name, pid), before) in parts.iter().zip(&before) {
            let more = resident(*pid)?.saturating_sub(*before.as_ref().map_err(|fault| anyhow::anyhow!("{fault}"))?);
            ensure!(more < BOUND, "the {name} grew by {} MiB", more >> 20);
        }
    }
    child.kill()?;
    child.wait()?;
    Ok(())
}

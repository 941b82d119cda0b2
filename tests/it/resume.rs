//! A connection outlives its tunnel: nothing is lost, doubled or cut short by an outage.

use crate::{Run::Alone, Test, bulk::Bulk};
use anyhow::{Context, Result, ensure};
use e2e::{Session, Stack};
use rustix::process::Signal;
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    time::Duration,
};

pub(crate) const TESTS: &[Test] = &[("resume::an_outage_costs_no_byte_and_no_keystroke", Alone(outage))];

/// The tunnel is given up by then, and a new one made.
const NOTICED: Duration = Duration::from_secs(40);

/// The agent stands still until its daemon has given up the tunnel; a shell, an upload and a download are under way.
fn outage(world: &mut Stack) -> Result<()> {
    let (bulk, log) = (Bulk::new()?, world.dir().join("logs/daemon.log"));
    let seen = |what: &str| fs::read_to_string(&log).map(|text| text.matches(what).count());
    let (lost, resumed) = (seen("lost its tunnel")?, seen("a connection goes on")?);
    let alice = world.user("alice")?.clone();
    let ssh = || -> Command {
        let mut ssh = alice.quiet_ssh();
        ssh.arg("user@ws-796636");
        ssh
    };

    let mut shell = ssh().arg("exec sh").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut typed = shell.stdin.take().context("no input")?;
    let mut shown = BufReader::new(shell.stdout.take().context("no output")?).lines();
    writeln!(typed, "echo before")?;
    ensure!(shown.next().context("no answer")?? == "before");
    let (upload, download) = (bulk.up(&mut ssh())?, bulk.down(&mut ssh())?);

    world.workspace("796636")?.agent.signal(Signal::STOP);
    writeln!(typed, "echo during")?;
    let patience = world.daemon.process.until("three connections without a tunnel", NOTICED, || {
        seen("lost its tunnel").is_ok_and(|now| now >= lost + 3).then_some(())
    });
    world.workspace("796636")?.agent.signal(Signal::CONT);
    patience?;

    ensure!(shown.next().context("no answer")?? == "during");
    writeln!(typed, "echo after; exit 7")?;
    ensure!(shown.next().context("no answer")?? == "after" && shell.wait()?.code() == Some(7));
    upload.finish()?;
    download.finish()?;
    ensure!(seen("a connection goes on")? >= resumed + 3, "they did not go on over another tunnel");
    Ok(())
}

//! The agents' TCP door when the daemon may open no more files: over QUIC, which needs none, agents come in as ever.

use super::{Scene, Target, agents::call, runtime};
use anyhow::{Context, Result, ensure};
use e2e::Stack;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::{
    fs,
    net::TcpStream,
    time::{Duration, Instant},
};

/// Agents that come in, one after the other.
const AGENTS: u32 = 40;
/// That a jam may cost all of them: the door is tried ten times a second, and each would wait for the next try.
const COST: Duration = Duration::from_millis(1500);

pub(super) fn play(world: &Stack) -> Result<()> {
    let mut scene = Scene::new(world, "jammed-door")?;
    let (target, _workspace) = Target::new(world, &scene, &[])?;
    let runtime = runtime()?;
    let usual = runtime.block_on(arrivals(&target))?;
    let pid = scene.place.region.daemon.process.pid();
    let open = u64::try_from(fs::read_dir(format!("/proc/{pid}/fd"))?.count())?;
    let before = limit(pid, open)?;
    let _waits = TcpStream::connect(target.address)?;
    let jammed = runtime.block_on(arrivals(&target));
    prlimit(process(pid)?, Resource::Nofile, before)?;
    let jammed = jammed.context("while the TCP door is jammed")?;
    ensure!(jammed < usual + COST, "{AGENTS} agents took {jammed:?}, and {usual:?} before");
    scene.unharmed("a jammed door")
}

/// As many files as are `open` and no more; returns what was in force before. The most that may be allowed is what this process has.
fn limit(pid: u32, open: u64) -> Result<Rlimit> {
    let limit = Rlimit { current: Some(open), ..getrlimit(Resource::Nofile) };
    Ok(prlimit(process(pid)?, Resource::Nofile, limit)?)
}

fn process(pid: u32) -> Result<Option<Pid>> {
    Ok(Pid::from_raw(i32::try_from(pid)?))
}

async fn arrivals(target: &Target) -> Result<Duration> {
    let begun = Instant::now();
    for _ in 0..AGENTS {
        let tunnel = call(target).await?;
        drop(target.enter(&tunnel).await?);
        tunnel.close("done");
    }
    Ok(begun.elapsed())
}

//! The agents' TCP door when the daemon may open no more files: over QUIC, which needs none, agents come in all the same.

use super::{Scene, Target, agents::call, runtime};
use anyhow::{Context, Result};
use e2e::{SOON, Stack, within};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::{fs, net::TcpStream};

/// Agents that come in, one after the other.
const AGENTS: u32 = 40;

pub(super) fn play(world: &Stack) -> Result<()> {
    let mut scene = Scene::new(world, "jammed-door")?;
    let (target, _workspace) = Target::new(world, &scene, &[])?;
    let runtime = runtime()?;
    let pid = scene.place.region.daemon.process.pid();
    let open = u64::try_from(fs::read_dir(format!("/proc/{pid}/fd"))?.count())?;
    let before = limit(pid, open)?;
    let (mut waiting, mut came) = (Vec::new(), Ok(()));
    let jammed = within(SOON, "a TCP door that cannot accept", || {
        waiting.push(TcpStream::connect(target.address)?);
        scene.daemon_says("cannot accept")
    });
    if jammed.is_ok() {
        came = runtime.block_on(arrivals(&target));
    }
    prlimit(process(pid)?, Resource::Nofile, before)?;
    jammed?;
    came.context("while the TCP door is jammed")?;
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

async fn arrivals(target: &Target) -> Result<()> {
    for _ in 0..AGENTS {
        let tunnel = call(target).await?;
        drop(target.enter(&tunnel).await?);
        tunnel.close("done");
    }
    Ok(())
}

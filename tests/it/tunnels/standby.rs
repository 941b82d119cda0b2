//! Two ways at a time: to one daemon through two addresses, or to two daemons. One may fail under the sessions.

use super::{Echo, Place};
use crate::{Run::Shared, Test};
use anyhow::{Context, Result, ensure};
use e2e::{SOON, Session, Stack, relay::Relay};
use std::{fs, path::Path, process::Command, time::Duration};
use xtask::stack::{Workspace, status};

pub(crate) const TESTS: &[Test] = &[
    ("tunnels::sessions_go_on_and_new_ones_come_over_the_other_way_to_a_daemon", Shared(one_daemon)),
    ("tunnels::new_logins_pass_through_the_other_daemon_when_one_is_killed", Shared(two_daemons)),
];

/// A way that failed is back within this time of its return.
const BACK: Duration = Duration::from_secs(60);

/// How many tunnels the workspace's agent says to have, once there are as many.
fn tunnels(workspace: &mut Workspace, wanted: usize) -> Result<()> {
    let (state, pid) = (workspace.state_dir.clone(), workspace.agent.pid());
    workspace.agent.until(&format!("{wanted} tunnels"), BACK, || {
        let status = status(&state, pid)?;
        let up = status["tunnels"].as_object()?.values().filter(|tunnel| tunnel["state"] == "connected").count();
        (up == wanted).then_some(())
    })
}

/// A copy into the place at 8 MB/s: it is still under way when a dead tunnel is noticed.
fn copy(place: &Place, from: &Path, to: &Path) -> Result<std::process::Child> {
    let mut scp = Command::new("scp");
    scp.args(["-q", "-l", "64000", "-o", "BatchMode=yes", "-F"]).arg(&place.user.ssh_config).args(["-J", xtask::stack::JUMP]);
    Ok(scp.arg(from).arg(format!("{}:{}", place.target(), to.display())).spawn()?)
}

/// Each way in turn stands still until its tunnel is given up, and is not there for a new one either.
fn one_daemon(world: &Stack) -> Result<()> {
    let mut other = None;
    let mut place = Place::routed(world, "standby", &[], |relay, daemon| {
        let other = other.insert(Relay::start(daemon)?);
        Ok(vec![relay.address(), other.address()])
    })?;
    let other = other.context("no second relay")?;
    tunnels(&mut place.workspace, 2)?;
    let folder = tempfile::tempdir()?;
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fs::write(&from, (0..1_000_003_u32).map(|n| (n / 251) as u8).collect::<Vec<_>>().repeat(64))?;
    let mut session = Echo::start(&place)?;
    for (relay, name) in [(&place.relay, "one"), (&other, "another")] {
        session.say("both ways")?;
        let mut copying = copy(&place, &from, &to)?;
        place.workspace.agent.until("a copy under way", SOON, || fs::metadata(&to).is_ok_and(|to| to.len() > 0).then_some(()))?;
        relay.stall(true);
        ensure!(copying.try_wait()?.is_none(), "the copy was over before its way failed");
        session.say(name)?;
        place.user.run(&place.target(), "echo new")?.printed("new\n")?;
        tunnels(&mut place.workspace, 1)?;
        session.say("one way")?;
        ensure!(copying.wait()?.success() && fs::read(&from)? == fs::read(&to)?, "the copy was harmed");
        fs::remove_file(&to)?;
        relay.stall(false);
        tunnels(&mut place.workspace, 2)?;
    }
    session.end()
}

fn two_daemons(world: &Stack) -> Result<()> {
    let mut place = Place::new(world, "pair", &[])?;
    let second = world.beside(&place.region, "pair-2", |daemon| Ok(vec![daemon]))?;
    tunnels(&mut place.workspace, 2)?;
    let through_second = world.user_in(&second, &place.user, &[&place.workspace])?;
    through_second.run(&place.target(), "echo both")?.printed("both\n")?;
    place.region.daemon.process.kill();
    through_second.run(&place.target(), "echo one")?.printed("one\n")?;
    tunnels(&mut place.workspace, 1)?;
    through_second.run(&place.target(), "echo still one")?.printed("still one\n")
}

//! A daemon's end: it drains alone, or another process takes its place; sessions go on, and nobody who comes is turned away.

mod flood;

use super::{Echo, Place, ends_well};
use crate::{Run::Shared, Test};
use anyhow::{Context, Result, ensure};
use e2e::{SOON, Session, Stack, relay::Relay, within};
use flood::Flood;
use rustix::process::Signal;
use std::{
    path::Path,
    process::{Child, Command, Stdio},
};
use xtask::stack::{JUMP, Workspace};

pub(crate) const TESTS: &[Test] = &[
    ("lifecycle::a_daemon_is_upgraded_under_twenty_sessions_and_a_flood_of_logins", Shared(upgraded)),
    ("lifecycle::two_daemons_follow_each_other_and_a_third_waits", Shared(followed)),
    ("lifecycle::sessions_of_the_old_process_go_on_over_tunnels_of_the_new", Shared(passed)),
    ("lifecycle::a_session_over_a_tunnel_of_the_new_process_survives_its_crash", Shared(crashed)),
    ("lifecycle::a_daemon_that_drains_serves_what_runs_and_lets_nobody_in", Shared(drained)),
    ("lifecycle::a_session_of_a_draining_daemon_survives_its_tunnel", Shared(resumed)),
    ("lifecycle::a_drain_has_an_end_and_says_so", Shared(bounded)),
    ("lifecycle::a_second_signal_ends_a_drain", Shared(insisted)),
];

/// Longer than any test: what is waited for happens before.
const LONG: &[&str] = &["--drain-seconds", "600"];

/// A place whose daemon is started with `options`.
fn place(world: &Stack, name: &str, options: &[&str], agent: &[&str]) -> Result<Place> {
    let mut relay = None;
    let region = world.region(name, options, |daemon| Ok(vec![relay.insert(Relay::start(daemon)?).address()]))?;
    let relay = relay.context("no relay")?;
    let user = world.new_user(&format!("{name}-user"))?;
    let workspace = world.workspace_in(&region, &format!("{name}-place"), &[&user.id], agent)?;
    let user = world.user_in(&region, &user, &[&workspace])?;
    Ok(Place { user, workspace, region, relay })
}

/// Signals the daemon and waits until it says that it drains.
fn drain(place: &Place) -> Result<()> {
    place.region.daemon.process.signal(Signal::TERM);
    within(SOON, "the drain", || Ok(place.region.daemon.ask("/readyz")?.1.starts_with("draining")))
}

fn session_over(place: &Place, workspace: &Workspace) -> Result<Echo> {
    Echo::run(place.user.quiet_ssh().arg(format!("user@{}", workspace.id)))
}

fn upgraded(world: &Stack) -> Result<()> {
    let mut place = place(world, "upgraded", &[], &["--transport", "quic"])?;
    let second = world.workspace_in(&place.region, "upgraded-second", &[&place.user.id], &["--transport", "websocket"])?;
    place.user = world.user_in(&place.region, &place.user, &[&place.workspace, &second])?;
    let mut sessions = Vec::new();
    for _ in 0..10 {
        sessions.push(session_over(&place, &place.workspace)?);
        sessions.push(session_over(&place, &second)?);
    }
    let flood = Flood::start(&place.user, &[&place.workspace.id, &second.id])?;
    place.workspace.agent.until("a flood", SOON, || (flood.begun() >= 3).then_some(()))?;
    let mut old = world.upgrade(&mut place.region)?;
    sessions.iter_mut().try_for_each(|session| session.say("during"))?;
    place.relay.rebind();
    sessions.iter_mut().try_for_each(|session| session.say("from another port"))?;
    within(SOON, "logins at the new process", || Ok(place.region.daemon.sample("drawbridge_logins_total")? >= 10.0))?;
    let logins = flood.end()?;
    ensure!(logins >= 10, "{logins} logins are no flood");
    ensure!(place.region.daemon.ask("/readyz")?.1 == "ready\n");
    ensure!(old.ended().is_none(), "the old process left its sessions");
    sessions.iter_mut().try_for_each(|session| session.say("after"))?;
    sessions.into_iter().try_for_each(Echo::end)?;
    ends_well(&mut old)?;
    for workspace in [&place.workspace, &second] {
        place.user.run(&format!("user@{}", workspace.id), "echo new")?.printed("new\n")?;
    }
    Ok(())
}

fn followed(world: &Stack) -> Result<()> {
    let mut place = place(world, "followed", &[], &[])?;
    let mut first = Echo::start(&place)?;
    let mut one = world.upgrade(&mut place.region)?;
    let refused = world.upgrade(&mut place.region).err().context("a third process found a place")?;
    let told = format!("processes {} and {} serve ", one.pid(), place.region.daemon.process.pid());
    ensure!(format!("{refused:#}").contains(&told), "{refused:#}");
    let mut second = Echo::start(&place)?;
    first.say("still here")?;
    first.end()?;
    ends_well(&mut one)?;
    let mut two = world.upgrade(&mut place.region)?;
    second.say("still here")?;
    place.user.run(&place.target(), "echo third")?.printed("third\n")?;
    second.say("and here")?;
    second.end()?;
    ends_well(&mut two)
}

/// An outer connection that holds nothing, and channels through it.
struct Outer {
    master: Child,
    socket: String,
}

impl Outer {
    fn open(place: &Place, folder: &Path) -> Result<Self> {
        let socket = folder.join("outer").display().to_string();
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(&place.user.ssh_config).args(["-o", "BatchMode=yes", "-M", "-N", "-S", &socket, JUMP]);
        let master = ssh.stdin(Stdio::null()).spawn()?;
        let outer = Self { master, socket };
        within(SOON, "the outer connection", || Ok(outer.mux().args(["-O", "check", JUMP]).output()?.status.success()))?;
        Ok(outer)
    }

    fn mux(&self) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args(["-S", &self.socket]);
        ssh
    }

    /// A session over a new channel.
    fn session(&self, place: &Place) -> Result<Echo> {
        let proxy = format!("ProxyCommand=ssh -S {} -W %h:%p {JUMP}", self.socket);
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(&place.user.ssh_config).args(["-o", "BatchMode=yes", "-o", &proxy]);
        Echo::run(ssh.arg(place.target()))
    }
}

impl Drop for Outer {
    fn drop(&mut self) {
        // Fails only when it has ended.
        let _ = self.master.kill();
        let _ = self.master.wait();
    }
}

/// Agents are at the new process when their tunnels to the old one break, and when channels open there.
fn passed(world: &Stack) -> Result<()> {
    let mut place = place(world, "passed", &[], &["--transport", "websocket"])?;
    let folder = tempfile::tempdir()?;
    let outer = Outer::open(&place, folder.path())?;
    let mut session = Echo::start(&place)?;
    let mut old = world.upgrade(&mut place.region)?;
    let mut late = [outer.session(&place)?, outer.session(&place)?, outer.session(&place)?];
    for _ in 0..3 {
        place.relay.cut();
        session.say("over a tunnel of the new process")?;
        late.iter_mut().try_for_each(|session| session.say("and so do these"))?;
    }
    late.into_iter().try_for_each(Echo::end)?;
    drop(outer);
    session.end()?;
    ends_well(&mut old)
}

/// The old process opened it, and is there.
fn crashed(world: &Stack) -> Result<()> {
    let mut place = place(world, "passage-crash", LONG, &["--transport", "websocket"])?;
    let folder = tempfile::tempdir()?;
    let outer = Outer::open(&place, folder.path())?;
    let mut old = world.upgrade(&mut place.region)?;
    let mut session = outer.session(&place)?;
    place.region.daemon.process.kill();
    session.say("over a tunnel of the old process")?;
    session.end()?;
    drop(outer);
    ends_well(&mut old)
}

fn drained(world: &Stack) -> Result<()> {
    let mut place = place(world, "drained", LONG, &[])?;
    let folder = tempfile::tempdir()?;
    let outer = Outer::open(&place, folder.path())?;
    let mut session = Echo::start(&place)?;
    drain(&place)?;
    // Its door closes right after it says so; who called before that is let in.
    let refused = || place.user.run(&place.target(), "true")?.refused("Connection refused");
    within(SOON, "a closed door", || Ok(refused().is_ok()))?;
    refused()?;
    session.say("still here")?;
    let mut late = outer.session(&place)?;
    late.say("and here")?;
    late.end()?;
    drop(outer);
    session.say("to the end")?;
    ensure!(place.region.daemon.process.ended().is_none(), "it left its session");
    session.end()?;
    ends_well(&mut place.region.daemon.process)
}

fn resumed(world: &Stack) -> Result<()> {
    let mut place = place(world, "drain-cut", LONG, &["--transport", "websocket"])?;
    let mut session = Echo::start(&place)?;
    drain(&place)?;
    place.relay.cut();
    session.say("over another tunnel")?;
    session.end()?;
    ends_well(&mut place.region.daemon.process)
}

/// A session, and what its user is told at its end.
fn told(place: &mut Place, during: impl FnOnce(&Place) -> Result<()>) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let started = folder.path().join("started");
    let mut ssh = place.user.quiet_ssh();
    ssh.arg("-n").arg(place.target()).arg(format!("touch {}; sleep 600", started.display()));
    let session = ssh.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    place.workspace.agent.until("the session", SOON, || started.exists().then_some(()))?;
    during(place)?;
    let output = session.wait_with_output()?;
    ensure!(output.status.code() == Some(255), "{output:?}");
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

fn bounded(world: &Stack) -> Result<()> {
    let mut place = place(world, "bounded", &["--drain-seconds", "1"], &[])?;
    let words = told(&mut place, |place| {
        place.region.daemon.process.signal(Signal::TERM);
        Ok(())
    })?;
    ensure!(words.contains("this jump host is about to stop"), "{words}");
    ends_well(&mut place.region.daemon.process)
}

fn insisted(world: &Stack) -> Result<()> {
    let mut place = place(world, "insisted", LONG, &[])?;
    let words = told(&mut place, |place| {
        drain(place)?;
        place.region.daemon.process.signal(Signal::TERM);
        Ok(())
    })?;
    ensure!(words.contains("this jump host is about to stop"), "{words}");
    ends_well(&mut place.region.daemon.process)
}

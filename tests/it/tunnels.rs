//! Tunnels over a bad network: each test has a region of its own, whose agents reach its daemon through a relay.

pub(crate) mod endurance;
pub(crate) mod forgery;
pub(crate) mod lifecycle;
pub(crate) mod standby;
pub(crate) mod takeover;
pub(crate) mod transport;

use crate::{Run::Shared, Test};
use anyhow::{Context, Result, ensure};
use e2e::{SOON, Session, Stack, User, relay::Relay};
use std::{
    io::{BufRead, BufReader, Lines, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};
use xtask::{
    process::Process,
    stack::{Region, Workspace},
};

pub(crate) const TESTS: &[Test] = &[("tunnels::a_session_lives_on_when_the_agents_address_changes", Shared(rebinding))];

/// A region with one workspace behind a relay, and its user.
pub(crate) struct Place {
    /// Who may enter.
    pub(crate) user: User,
    /// The workspace, whose agent calls through the relay.
    pub(crate) workspace: Workspace,
    /// Its jump host.
    pub(crate) region: Region,
    /// What is between the two.
    pub(crate) relay: Relay,
}

impl Place {
    /// One called `name`, whose agent is started with `options`.
    pub(crate) fn new(world: &Stack, name: &str, options: &[&str]) -> Result<Self> {
        Self::prepared(world, name, options, |_| {})
    }

    /// The same; `prepare` sees the relay before the agent does.
    pub(crate) fn prepared(world: &Stack, name: &str, options: &[&str], prepare: impl FnOnce(&Relay)) -> Result<Self> {
        Self::routed(world, name, options, |relay, _| {
            prepare(relay);
            Ok(vec![relay.address()])
        })
    }

    /// The same; `route` says under which addresses the agent looks for the daemon that the relay leads to.
    pub(crate) fn routed(
        world: &Stack,
        name: &str,
        options: &[&str],
        route: impl FnOnce(&Relay, SocketAddr) -> Result<Vec<SocketAddr>>,
    ) -> Result<Self> {
        let mut relay = None;
        let region = world.region(name, &[], |daemon| route(relay.insert(Relay::start(daemon)?), daemon))?;
        let relay = relay.context("no relay")?;
        let user = world.new_user(&format!("{name}-user"))?;
        let workspace = world.workspace_in(&region, &format!("{name}-place"), &[&user.id], options)?;
        let user = world.user_in(&region, &user, &[&workspace])?;
        Ok(Self { user, workspace, region, relay })
    }

    /// What to log in to.
    pub(crate) fn target(&self) -> String {
        format!("user@{}", self.workspace.id)
    }
}

/// A session that echoes lines.
pub(crate) struct Echo {
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Echo {
    pub(crate) fn start(place: &Place) -> Result<Self> {
        Self::run(place.user.quiet_ssh().arg(place.target()))
    }

    /// With `ssh` up to its destination.
    pub(crate) fn run(ssh: &mut Command) -> Result<Self> {
        let mut child = ssh.arg("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take().context("no output")?);
        let mut echo = Self { child, input, lines: BufReader::new(output).lines() };
        echo.say("hello")?;
        Ok(echo)
    }

    /// Says a line and waits for it to come back.
    pub(crate) fn say(&mut self, line: &str) -> Result<()> {
        writeln!(self.input.as_ref().context("no input")?, "{line}")?;
        ensure!(self.lines.next().context("the session ended")?? == line);
        Ok(())
    }

    pub(crate) fn end(mut self) -> Result<()> {
        drop(self.input.take());
        ensure!(self.child.wait()?.success());
        Ok(())
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // Fails only when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `process` ends by itself, with nothing to complain of.
pub(crate) fn ends_well(process: &mut Process) -> Result<()> {
    let status = process.end(SOON)?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}

fn rebinding(world: &Stack) -> Result<()> {
    let place = Place::new(world, "rebinding", &[])?;
    ensure!(place.region.daemon.tunnel != place.relay.address(), "no relay is in between");
    place.relay.delay(Duration::from_millis(5));
    let mut session = Echo::start(&place)?;
    for n in 0..5 {
        session.say(&n.to_string())?;
        place.relay.rebind();
    }
    session.end()
}

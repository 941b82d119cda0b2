//! Both systems at once: our stack with an agent for each transport, and OpenSSH twice.

use crate::route::{Hop, Route, Terms};
use anyhow::{Context, Result, ensure};
use e2e::{Stack, reference::Reference, relay::Relay};
use std::{fs, net::SocketAddr, path::PathBuf, process::Command, time::Duration};
use xtask::{
    build, release, root,
    stack::{Region, Workspace},
    tools::Sshd,
};

const LOCAL: &str = "127.0.0.1";
/// As figures are called.
pub(crate) const PEER: &str = "openssh";
/// Our ways, by what agents are told.
pub(crate) const TRANSPORTS: [&str; 2] = ["quic", "websocket"];

/// All that runs.
pub(crate) struct World {
    dir: PathBuf,
    stack: Stack,
    /// A daemon and a workspace for each transport.
    near: Vec<(Region, Workspace)>,
    /// The same with a relay in between.
    far: Vec<(Region, Workspace)>,
    /// What is between the hops: of the peer, then of ours.
    relays: Vec<Relay>,
    jump: Reference,
    target: Reference,
    account: String,
}

impl World {
    /// With files below cargo's target folder.
    pub(crate) fn start() -> Result<Self> {
        let dir = folder();
        let stack = Stack::start(root(), &dir.join("stack"), release::programs(root()))?;
        let near = TRANSPORTS.iter().map(|transport| place(&stack, "near", transport, |daemon| Ok(vec![daemon])));
        let near = near.collect::<Result<_>>()?;
        let mut relays = Vec::new();
        let far = TRANSPORTS.iter().map(|transport| {
            place(&stack, "far", transport, |daemon| {
                relays.push(Relay::start(daemon)?);
                Ok(relays.iter().rev().take(1).map(Relay::address).collect())
            })
        });
        let far = far.collect::<Result<_>>()?;
        let public = stack.user("alice")?.key_file.with_extension("pub");
        let sshd = Sshd::find(root())?;
        let [jump, target] = ["jump", "target"].map(|name| Reference::start(&sshd, &dir.join(name), &public, ""));
        let (jump, target) = (jump?, target?);
        relays.insert(0, Relay::start(SocketAddr::from(([127, 0, 0, 1], target.port)))?);
        Ok(Self { dir, near, far, relays, jump, target, account: account()?, stack })
    }

    /// Has everything between far hops take `rtt` there and back, and loses `loss` of the UDP packets.
    pub(crate) fn distance(&self, rtt: Duration, loss: f64) {
        self.relays.iter().for_each(|relay| {
            relay.delay(rtt / 2);
            relay.loss(loss);
        });
    }

    /// The peer's way, then ours.
    pub(crate) fn near(&self, terms: Terms) -> Result<Vec<Route>> {
        self.routes(terms, self.target.port, &self.near)
    }

    /// The same with relays between the hops.
    pub(crate) fn far(&self, terms: Terms) -> Result<Vec<Route>> {
        let port = self.relays.first().context("no relay")?.address().port();
        self.routes(terms, port, &self.far)
    }

    fn routes(&self, terms: Terms, port: u16, places: &[(Region, Workspace)]) -> Result<Vec<Route>> {
        let hops = [hop(self.jump.port, &self.jump), hop(port, &self.target)];
        let ours = TRANSPORTS.iter().zip(places).map(|(transport, (region, workspace))| {
            let jump = Hop { host: LOCAL.into(), port: region.daemon.port, pid: region.daemon.process.pid() };
            let target = Hop { host: workspace.id.clone(), port: 22, pid: workspace.agent.pid() };
            self.route(transport, [jump, target], "user", terms)
        });
        [self.route(PEER, hops, &self.account, terms)].into_iter().chain(ours).collect()
    }

    fn route(&self, name: &'static str, hops: [Hop; 2], user: &str, terms: Terms) -> Result<Route> {
        Route::new(name, &self.dir, hops, user, &self.stack.user("alice")?.key_file, terms)
    }
}

/// A daemon of its own, whose agent finds it by `way`.
fn place(
    stack: &Stack,
    kind: &str,
    transport: &str,
    way: impl FnOnce(SocketAddr) -> Result<Vec<SocketAddr>>,
) -> Result<(Region, Workspace)> {
    let region = stack.region(&format!("{kind}-{transport}"), &[], way)?;
    let options = ["--transport", transport, "--proxy", "none"];
    let workspace = stack.workspace_in(&region, &format!("bench-{kind}-{transport}"), &["alice"], &options)?;
    Ok((region, workspace))
}

fn hop(port: u16, server: &Reference) -> Hop {
    Hop { host: LOCAL.into(), port, pid: server.process.pid() }
}

/// Where the benchmark keeps its files.
pub(crate) fn folder() -> PathBuf {
    build::target(root()).join("bench-ssh")
}

/// Brings the machine to where everything can start; says what it does.
pub(crate) fn prepare() -> Result<()> {
    build::released(root())?;
    Sshd::find(root())?;
    xtask::tools::rsync(root())?;
    fs::create_dir_all(folder()).context("cannot make the benchmark's folder")
}

/// Both targets run programs as the account of this process.
fn account() -> Result<String> {
    let output = Command::new("id").arg("-un").output().context("id does not start")?;
    ensure!(output.status.success(), "this process's account has no name");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

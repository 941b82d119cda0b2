//! Both systems at once: our stack with an agent for each transport, and OpenSSH twice.

use crate::route::{Hop, Route, Terms};
use anyhow::{Context, Result, ensure};
use e2e::{
    Stack,
    reference::Reference,
    seclusion,
    wire::{FAR, HERE, Wire},
};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
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
    jump: Reference,
    target: Reference,
    far: Option<Far>,
    account: String,
}

/// The same with a wire in between.
struct Far {
    wire: Wire,
    /// Whose agents are at its other end, and what stands for them.
    targets: Vec<(Region, Workspace)>,
    target: Reference,
    /// Whose users are, and what stands for the daemon.
    jumps: Vec<(Region, Workspace)>,
    jump: Reference,
}

/// What a wire is between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leg {
    /// The jump host and the target.
    Inner,
    /// The user and the jump host.
    Outer,
}

impl World {
    /// With files below cargo's target folder.
    pub(crate) fn start() -> Result<Self> {
        let dir = folder();
        let stack = Stack::start(root(), &dir.join("stack"), release::programs(root()))?;
        let near = TRANSPORTS.iter().map(|transport| place(&stack, "near", transport, &[], |daemon| daemon));
        let near = near.collect::<Result<_>>()?;
        let public = stack.user("alice")?.key_file.with_extension("pub");
        let sshd = Sshd::find(root())?;
        let [jump, target] = ["jump", "target"].map(|name| Reference::start(&sshd, &dir.join(name), &public, ""));
        let (jump, target) = (jump?, target?);
        let far = seclusion::is_inside().then(|| Far::start(&stack, &sshd, &dir, &public)).transpose()?;
        Ok(Self { dir, near, far, jump, target, account: account()?, stack })
    }

    /// Has everything on the wire take `rtt` there and back, and lose `loss` of the packets, of 1. Says whether there is any
    /// distance: a wire takes a network of one's own, and that takes root.
    pub(crate) fn distance(&self, rtt: Duration, loss: f64) -> bool {
        self.far.iter().for_each(|far| far.wire.be(rtt / 2, loss));
        self.far.is_some()
    }

    /// The peer's way, then ours.
    pub(crate) fn near(&self, terms: Terms) -> Result<Vec<Route>> {
        self.routes(terms, [(LOCAL, &self.jump), (LOCAL, &self.target)], LOCAL, &self.near)
    }

    /// The same with the wire in one of its legs.
    pub(crate) fn far(&self, terms: Terms, leg: Leg) -> Result<Vec<Route>> {
        let far = self.far.as_ref().context("there is no distance without root")?;
        let there = FAR.to_string();
        match leg {
            Leg::Inner => self.routes(terms, [(LOCAL, &self.jump), (&there, &far.target)], LOCAL, &far.targets),
            Leg::Outer => self.routes(terms, [(&there, &far.jump), (LOCAL, &self.target)], &there, &far.jumps),
        }
    }

    /// Through `peers`, then through `places`, whose daemons users find at `host`.
    fn routes(
        &self,
        terms: Terms,
        peers: [(&str, &Reference); 2],
        host: &str,
        places: &[(Region, Workspace)],
    ) -> Result<Vec<Route>> {
        let hops = peers.map(|(host, server)| Hop { host: host.into(), port: server.port, pid: server.process.pid() });
        let ours = TRANSPORTS.iter().zip(places).map(|(transport, (region, workspace))| {
            let jump = Hop { host: host.into(), port: region.daemon.port, pid: region.daemon.process.pid() };
            let target = Hop { host: workspace.id.clone(), port: 22, pid: workspace.agent.pid() };
            self.route(transport, [jump, target], "user", terms)
        });
        [self.route(PEER, hops, &self.account, terms)].into_iter().chain(ours).collect()
    }

    fn route(&self, name: &'static str, hops: [Hop; 2], user: &str, terms: Terms) -> Result<Route> {
        Route::new(name, &self.dir, hops, user, &self.stack.user("alice")?.key_file, terms)
    }
}

impl Far {
    fn start(stack: &Stack, sshd: &Sshd, dir: &Path, public: &Path) -> Result<Self> {
        let (wire, here) = (Wire::lay()?, format!("{HERE}:0"));
        let over = |daemon: SocketAddr| SocketAddr::from((FAR, daemon.port()));
        let targets = TRANSPORTS.iter().map(|transport| place(stack, "far", transport, &["--listen-tunnel", &here], over));
        let jumps =
            TRANSPORTS.iter().map(|transport| place(stack, "farther", transport, &["--listen-ssh", &here], |daemon| daemon));
        let server = |name| Reference::start_at(HERE, sshd, &dir.join(name), public, "");
        Ok(Self {
            targets: targets.collect::<Result<_>>()?,
            target: server("far-target")?,
            jumps: jumps.collect::<Result<_>>()?,
            jump: server("far-jump")?,
            wire,
        })
    }
}

/// A daemon of its own, whose agent finds it by `way`.
fn place(
    stack: &Stack,
    kind: &str,
    transport: &str,
    options: &[&str],
    way: fn(SocketAddr) -> SocketAddr,
) -> Result<(Region, Workspace)> {
    let region = stack.region(&format!("{kind}-{transport}"), options, |daemon| Ok(vec![way(daemon)]))?;
    let options = ["--transport", transport, "--proxy", "none"];
    let workspace = stack.workspace_in(&region, &format!("bench-{kind}-{transport}"), &["alice"], &options)?;
    Ok((region, workspace))
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

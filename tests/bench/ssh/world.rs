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

/// The same at the other end of a wire.
struct Far {
    places: Vec<(Region, Workspace)>,
    target: Reference,
    wire: Wire,
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

    /// Has everything between far hops take `rtt` there and back, and lose `loss` of the packets, of 1. Says whether there is any
    /// distance: a wire takes a network of one's own, and that takes root.
    pub(crate) fn distance(&self, rtt: Duration, loss: f64) -> bool {
        self.far.iter().for_each(|far| far.wire.be(rtt / 2, loss));
        self.far.is_some()
    }

    /// The peer's way, then ours.
    pub(crate) fn near(&self, terms: Terms) -> Result<Vec<Route>> {
        self.routes(terms, hop(LOCAL, &self.target), &self.near)
    }

    /// The same with the wire between the hops.
    pub(crate) fn far(&self, terms: Terms) -> Result<Vec<Route>> {
        let far = self.far.as_ref().context("there is no distance without root")?;
        self.routes(terms, hop(&FAR.to_string(), &far.target), &far.places)
    }

    fn routes(&self, terms: Terms, target: Hop, places: &[(Region, Workspace)]) -> Result<Vec<Route>> {
        let hops = [hop(LOCAL, &self.jump), target];
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

impl Far {
    fn start(stack: &Stack, sshd: &Sshd, dir: &Path, public: &Path) -> Result<Self> {
        let (wire, here) = (Wire::lay()?, format!("{HERE}:0"));
        let over = |transport: &&str| {
            let way = |daemon: SocketAddr| SocketAddr::from((FAR, daemon.port()));
            place(stack, "far", transport, &["--listen-tunnel", &here], way)
        };
        let places = TRANSPORTS.iter().map(over).collect::<Result<_>>()?;
        Ok(Self { places, target: Reference::start_at(HERE, sshd, &dir.join("far-target"), public, "")?, wire })
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

fn hop(host: &str, server: &Reference) -> Hop {
    Hop { host: host.into(), port: server.port, pid: server.process.pid() }
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

//! Both systems at once: our stack with an agent for each transport, and OpenSSH twice.

use crate::route::{Hop, Route, Terms};
use anyhow::{Context, Result, ensure};
use e2e::{Stack, reference::Reference};
use std::{fs, path::PathBuf, process::Command};
use xtask::{
    build::{self, Profile},
    root,
    stack::{Region, Workspace},
    tools::Sshd,
};

/// As figures are called.
pub(crate) const PEER: &str = "openssh";
/// Our ways, by what agents are told.
pub(crate) const TRANSPORTS: [&str; 2] = ["quic", "websocket"];

/// All that runs.
pub(crate) struct World {
    dir: PathBuf,
    pub(crate) stack: Stack,
    /// A daemon and a workspace for each transport.
    places: Vec<(Region, Workspace)>,
    jump: Reference,
    target: Reference,
    account: String,
}

impl World {
    /// With files below cargo's target folder.
    pub(crate) fn start() -> Result<Self> {
        let dir = folder();
        let stack = Stack::start(root(), &dir.join("stack"), build::built(root(), Profile::Release))?;
        let place = |transport: &&str| {
            let region = stack.region(&format!("by-{transport}"), &[], |daemon| Ok(vec![daemon]))?;
            let options = ["--transport", *transport, "--proxy", "none"];
            let workspace = stack.workspace_in(&region, &format!("bench-{transport}"), &["alice"], &options)?;
            Ok((region, workspace))
        };
        let places = TRANSPORTS.iter().map(place).collect::<Result<_>>()?;
        let public = stack.user("alice")?.key_file.with_extension("pub");
        let sshd = Sshd::find(root())?;
        let [jump, target] = ["jump", "target"].map(|name| Reference::start(&sshd, &dir.join(name), &public, ""));
        Ok(Self { dir, places, jump: jump?, target: target?, account: account()?, stack })
    }

    /// The peer's way, then ours.
    pub(crate) fn routes(&self, terms: Terms) -> Result<Vec<Route>> {
        let hops = [hop("127.0.0.1", self.jump.port, &self.jump), hop("127.0.0.1", self.target.port, &self.target)];
        let ours = TRANSPORTS.iter().zip(&self.places).map(|(transport, (region, workspace))| {
            let jump = Hop { host: "127.0.0.1".into(), port: region.daemon.port, pid: region.daemon.process.pid() };
            let target = Hop { host: workspace.id.clone(), port: 22, pid: workspace.agent.pid() };
            self.route(transport, [jump, target], "user", terms)
        });
        [self.route(PEER, hops, &self.account, terms)].into_iter().chain(ours).collect()
    }

    fn route(&self, name: &'static str, hops: [Hop; 2], user: &str, terms: Terms) -> Result<Route> {
        Route::new(name, &self.dir, hops, user, &self.stack.user("alice")?.key_file, terms)
    }
}

fn hop(host: &str, port: u16, server: &Reference) -> Hop {
    Hop { host: host.into(), port, pid: server.process.pid() }
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

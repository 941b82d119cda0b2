//! A daemon of the stack: started, and told to the edge.

use super::{Edge, READY, files, mint};
use crate::{api::Api, build::Programs, process::Process};
use anyhow::Result;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{fs, net::SocketAddr, path::Path, process::Command};

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    /// Its process.
    pub process: Process,
    /// Its SSH port on 127.0.0.1.
    pub port: u16,
    /// Where it listens for agents.
    pub tunnel: SocketAddr,
    identity: String,
}

impl Daemon {
    /// Starts the daemon `id` with the state folder `state`, on free ports, and waits until it listens. Of the usual
    /// options, `options` may name others.
    pub(super) fn start(programs: &Programs, dir: &Path, edge: &Edge, id: &str, state: &Path, options: &[&str]) -> Result<Self> {
        let identity = files::output(Command::new(&programs.daemon).arg("identity").arg("--state-dir").arg(state))?;
        let token = mint(&edge.operator(), "daemon", id)?;
        let mut command = Command::new(&programs.daemon);
        command.args(["run", "--edge", &edge.url, "--listen-ssh", "127.0.0.1:0", "--listen-tunnel", "127.0.0.1:0"]);
        command.args(["--domain", "local.drawbridge.test"]).args(usual(options)).args(options);
        command.arg("--trust").arg(files::trust(dir)).arg("--state-dir").arg(state).env("DRAWBRIDGE_TOKEN", token);
        let log = files::log(dir, if id == "local-1" { "daemon" } else { id });
        let mut process = Process::start(&format!("the daemon {id}"), &mut command, &log, Signal::TERM)?;
        let listening = process.until("listening", READY, || listening(state))?;
        let (ssh, tunnel) = (address(&listening["ssh"])?, address(&listening["tunnel"])?);
        Ok(Self { process, port: ssh.port(), tunnel, identity: identity.trim().into() })
    }

    /// Tells the edge that it is the daemon `id` of `region`, for agents at `addresses`.
    pub(super) fn register(&self, api: &Api, id: &str, region: &str, addresses: Vec<SocketAddr>) -> Result<()> {
        api.put(&format!("/api/operator/regions/{region}"), &json!({"hosts": ["127.0.0.1"], "port": self.port}))?.ok()?;
        let body = json!({"identity": self.identity, "region": region, "addresses": addresses});
        api.put(&format!("/api/operator/daemons/{id}"), &body)?.ok()
    }
}

/// What is not said otherwise: polls and drains that suit tests.
fn usual<'a>(options: &[&str]) -> Vec<&'a str> {
    let usual = [("--poll-seconds", "1"), ("--drain-seconds", "2")];
    usual.into_iter().filter(|(name, _)| !options.contains(name)).flat_map(|(name, value)| [name, value]).collect()
}

fn listening(state: &Path) -> Option<Value> {
    serde_json::from_str(&fs::read_to_string(state.join("listening.json")).ok()?).ok()
}

fn address(value: &Value) -> Result<SocketAddr> {
    Ok(value.as_str().unwrap_or_default().parse()?)
}

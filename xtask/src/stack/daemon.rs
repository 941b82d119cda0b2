//! A daemon of the stack: started, told to the edge, asked by its operators, and started again.

use super::{Edge, READY, files, mint};
use crate::{api::Api, build::Programs, process::Process};
use anyhow::{Context, Result};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    /// Its process.
    pub process: Process,
    /// Its SSH port on 127.0.0.1.
    pub port: u16,
    /// Where it listens for agents.
    pub tunnel: SocketAddr,
    /// Its operators' port on 127.0.0.1.
    pub admin: u16,
    /// Its audit trail.
    pub audit: PathBuf,
    birth: Birth,
}

/// What a daemon is started with, every time.
#[derive(Clone, Debug)]
struct Birth {
    id: String,
    identity: String,
    token: String,
    state: PathBuf,
    options: Vec<String>,
}

/// Where a daemon listens.
#[derive(Clone, Copy, Debug)]
struct Ports {
    ssh: SocketAddr,
    tunnel: SocketAddr,
    admin: SocketAddr,
}

impl Daemon {
    /// Starts the daemon `id` with the state folder `state`, on free ports, and waits until it listens. Of the usual
    /// options, `options` may name others.
    pub(super) fn start(programs: &Programs, dir: &Path, edge: &Edge, id: &str, state: &Path, options: &[&str]) -> Result<Self> {
        let identity = files::output(Command::new(&programs.daemon).arg("identity").arg("--state-dir").arg(state))?;
        let token = mint(&edge.operator(), "daemon", id)?;
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let birth = Birth { id: id.into(), identity: identity.trim().into(), token, state: state.into(), options };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (process, ports) = birth.launch(programs, dir, &edge.url, Ports { ssh: any, tunnel: any, admin: any }, &[])?;
        let audit = birth.audit(dir);
        Ok(Self { process, port: ports.ssh.port(), tunnel: ports.tunnel, admin: ports.admin.port(), audit, birth })
    }

    /// Kills it and starts it again on its old state and its old ports, with the edge at `edge`.
    pub(super) fn restart(&mut self, programs: &Programs, dir: &Path, edge: &str) -> Result<()> {
        self.process.kill();
        self.process = self.birth.launch(programs, dir, edge, self.ports(), &[])?.0;
        Ok(())
    }

    /// Starts another process that takes its place; returns the old one.
    pub(super) fn upgrade(&mut self, programs: &Programs, dir: &Path, edge: &str) -> Result<Process> {
        let (process, _) = self.birth.launch(programs, dir, edge, self.ports(), &["--take-over"])?;
        Ok(std::mem::replace(&mut self.process, process))
    }

    fn ports(&self) -> Ports {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Ports { ssh: at(self.port), tunnel: self.tunnel, admin: at(self.admin) }
    }

    /// Tells the edge that it is the daemon of its name in `region`, for agents at `addresses`.
    pub(super) fn register(&self, api: &Api, region: &str, addresses: Vec<SocketAddr>) -> Result<()> {
        api.put(&format!("/api/operator/regions/{region}"), &json!({"hosts": ["127.0.0.1"], "port": self.port}))?.ok()?;
        let body = json!({"identity": self.birth.identity, "region": region, "addresses": addresses});
        api.put(&format!("/api/operator/daemons/{}", self.birth.id), &body)?.ok()
    }

    /// What its operators' port says on `path`: status, and text.
    pub fn ask(&self, path: &str) -> Result<(u16, String)> {
        let mut answer = ureq::get(format!("http://127.0.0.1:{}{path}", self.admin))
            .config()
            .http_status_as_error(false)
            .proxy(None)
            .build()
            .call()
            .with_context(|| format!("GET {path}"))?;
        Ok((answer.status().as_u16(), answer.body_mut().read_to_string()?))
    }

    /// The sample of that name and labels, as it stands in its metrics; 0 where nothing was counted.
    pub fn sample(&self, name: &str) -> Result<f64> {
        let (_, text) = self.ask("/metrics")?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.map_or(Ok(0.0), str::parse)?)
    }

    /// How many tunnels it has, over whichever transport.
    pub fn tunnels(&self) -> Result<usize> {
        let (_, text) = self.ask("/metrics")?;
        let lines = text.lines().filter(|line| line.starts_with("drawbridge_tunnels{"));
        lines.map(|line| Ok(line.rsplit_once(' ').context("a sample without a value")?.1.parse::<usize>()?)).sum()
    }
}

impl Birth {
    fn launch(&self, programs: &Programs, dir: &Path, edge: &str, ports: Ports, more: &[&str]) -> Result<(Process, Ports)> {
        let [ssh, tunnel, admin] = [ports.ssh, ports.tunnel, ports.admin].map(|address| address.to_string());
        let mut command = Command::new(&programs.daemon);
        command.args(["run", "--admin", &admin]).args(more).args(["--domain", "local.drawbridge.test"]);
        command.args(usual(edge, [&ssh, &tunnel], &self.options)).args(&self.options);
        command.arg("--audit").arg(self.audit(dir)).arg("--trust").arg(files::trust(dir));
        command.arg("--state-dir").arg(&self.state).env("DRAWBRIDGE_TOKEN", &self.token);
        let log = files::log(dir, &self.file("daemon"));
        let mut process = Process::start(&format!("the daemon {}", self.id), &mut command, &log, Signal::TERM)?;
        let pid = process.pid();
        let listening = process.until("listening", READY, || listening(&self.state, pid))?;
        let [ssh, tunnel, admin] = [address(&listening["ssh"])?, address(&listening["tunnel"])?, address(&listening["admin"])?];
        Ok((process, Ports { ssh, tunnel, admin }))
    }

    fn audit(&self, dir: &Path) -> PathBuf {
        files::log(dir, &self.file("audit"))
    }

    /// The demo's daemon has the plain names.
    fn file(&self, kind: &str) -> String {
        if self.id == "local-1" { kind.into() } else { format!("{kind}-{}", self.id) }
    }
}

/// What is not said otherwise: the edge, where users and agents come in, polls and drains that suit tests.
fn usual<'a>(edge: &'a str, [ssh, tunnel]: [&'a str; 2], options: &[String]) -> Vec<&'a str> {
    let doors = [("--listen-ssh", ssh), ("--listen-tunnel", tunnel)];
    let usual = doors.into_iter().chain([("--edge", edge), ("--poll-seconds", "1"), ("--drain-seconds", "2")]);
    let said = |name: &str| options.iter().any(|option| option == name);
    usual.filter(|(name, _)| !said(name)).flat_map(|(name, value)| [name, value]).collect()
}

/// Where the process `pid` listens: one that was killed, or whose place it takes, left its own.
fn listening(state: &Path, pid: u32) -> Option<Value> {
    let said: Value = serde_json::from_str(&fs::read_to_string(state.join("listening.json")).ok()?).ok()?;
    (said["pid"] == pid).then_some(said)
}

fn address(value: &Value) -> Result<SocketAddr> {
    Ok(value.as_str().unwrap_or_default().parse()?)
}

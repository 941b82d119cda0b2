//! The Worker in workerd, with local KV and wrangler's reading of `wrangler.toml`; its files all below the stack's folder.

use super::{
    READY,
    files::{self, keygen, log},
};
use crate::{api::Api, process::Process};
use anyhow::{Context, Result};
use drawbridge_shared::token::{Scope, Token};
use rustix::process::Signal;
use std::{
    fs::{self, OpenOptions},
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Digits in front of a limit's own: all callers of a local edge share one address.
const LOCAL_CALLERS: &str = "2";

/// The running edge.
#[derive(Debug)]
pub struct Edge {
    root: PathBuf,
    dir: PathBuf,
    port: u16,
    /// Its process: Node, the leader of a group with workerd.
    pub process: Process,
    /// `http://127.0.0.1:<port>`.
    pub url: String,
    /// The first operator token.
    pub operator_token: String,
    /// The public signing key.
    pub trust_key: String,
}

impl Edge {
    /// Starts it below `dir`, which is emptied first, with no other part of the system.
    pub fn alone(root: &Path, dir: &Path) -> Result<Self> {
        files::fresh(dir)?;
        Self::start(root, dir)
    }

    /// Makes secrets and starts it below `dir`.
    pub(super) fn start(root: &Path, dir: &Path) -> Result<Self> {
        eprintln!("starting the edge ...");
        let home = dir.join("edge");
        let signing = keygen(&home.join("signing_key"), "edge")?;
        let trust_key = fs::read_to_string(signing.with_extension("pub"))?.trim().to_owned();
        fs::write(files::trust(dir), format!("{trust_key}\n"))?;
        let operator_token = operator_token()?;
        let host_ca = keygen(&home.join("host_ca_key"), "host-ca")?;
        secrets(&home, &operator_token, [("SIGNING_KEY", &signing), ("HOST_CA_KEY", &host_ca)])?;
        fs::write(home.join("wrangler.toml"), local(root, &fs::read_to_string(root.join("wrangler.toml"))?))?;
        let port = free_port()?;
        let process = launch(root, dir, port)?;
        let url = format!("http://127.0.0.1:{port}");
        let mut edge = Self { root: root.into(), dir: dir.into(), port, process, url, operator_token, trust_key };
        edge.ready()?;
        Ok(edge)
    }

    /// The API with the operator's token.
    pub fn operator(&self) -> Api {
        Api::new(&self.url, &self.operator_token)
    }

    /// Stops it; what it stored stays.
    pub fn stop(&mut self) {
        self.process.stop();
    }

    /// Loses what the Ledger holds, as if its Durable Object were gone; KV stays. Only while it is stopped.
    pub fn lose_ledger(&self) -> Result<()> {
        let state = self.dir.join("edge/state/v3/do");
        fs::remove_dir_all(&state).with_context(|| format!("{} is not where the Ledger is kept", state.display()))
    }

    /// Limits calls by address and by token to `most` a minute, from the next start on.
    pub fn limit(&self, most: u32) -> Result<()> {
        let file = self.dir.join("edge/wrangler.toml");
        let config = fs::read_to_string(&file)?;
        let lines = config.lines().map(|line| match line.split_once("limit = ") {
            Some((before, _)) => format!("{before}limit = {most}, period = 60 }}\n"),
            None => format!("{line}\n"),
        });
        Ok(fs::write(&file, lines.collect::<String>())?)
    }

    /// Starts it again on the same port, with what it stored.
    pub fn restart(&mut self) -> Result<()> {
        self.process = launch(&self.root, &self.dir, self.port)?;
        self.ready()
    }

    fn ready(&mut self) -> Result<()> {
        let api = Api::new(&self.url, "");
        self.process.until("answering", READY, || api.get("/healthz").ok().filter(|answer| answer.status == 200).map(drop))
    }
}

/// The real configuration, with assets found from elsewhere, and with limits for all clients of one machine.
fn local(root: &Path, config: &str) -> String {
    let assets = format!("directory = \"{}\"", root.join("edge/assets").display());
    let config = config.replace("directory = \"edge/assets\"", &assets).replace("limit = ", &format!("limit = {LOCAL_CALLERS}"));
    // Here KV is in one place: there is nothing to wait for.
    config + "\n[vars]\nREBUILD_SETTLE_SECONDS = \"0\"\n"
}

fn launch(root: &Path, dir: &Path, port: u16) -> Result<Process> {
    let home = dir.join("edge");
    let mut command = Command::new("node");
    command.current_dir(&home).arg(root.join("xtask/edge.mjs")).arg(root.join("node_modules/wrangler"));
    command.arg(root.join("edge/build")).arg(&home).arg(port.to_string());
    command.env("CLOUDFLARE_CF_FETCH_ENABLED", "false").env("WRANGLER_SEND_METRICS", "false").env("NO_COLOR", "1");
    command.env("WRANGLER_LOG_PATH", home.join("logs"));
    command.env("XDG_CONFIG_HOME", home.join("config"));
    Process::start("the edge", &mut command, &log(dir, "edge"), Signal::INT)
}

/// A new operator token.
pub fn operator_token() -> Result<String> {
    let mut secret = [0; 32];
    fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut secret)).context("no randomness")?;
    Ok(Token::mint(Scope::Operator, &secret).expose().to_owned())
}

fn secrets(home: &Path, operator_token: &str, keys: [(&str, &PathBuf); 2]) -> Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(home.join("secrets.env"))?;
    writeln!(file, "OPERATOR_TOKEN=\"{operator_token}\"")?;
    for (name, key) in keys {
        writeln!(file, "{name}=\"{}\"", fs::read_to_string(key)?.replace('\n', "\\n"))?;
    }
    Ok(())
}

/// It is wanted again after a restart, when 0 would be another; one that was free a moment ago is as good as it gets.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

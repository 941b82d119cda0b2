//! One of the two servers as clients are pointed at it: the same names, the same account, the same key.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What both are called in their ssh_config.
pub(crate) const TARGET: &str = "target";

/// A server under test, and how it is reached.
#[derive(Debug)]
pub(crate) struct Side {
    /// For `-F`.
    pub(crate) config: PathBuf,
    host: String,
    port: u16,
    /// The jump host's port on this machine.
    jump: Option<u16>,
    account: String,
    key: PathBuf,
    known_hosts: PathBuf,
}

impl Side {
    /// OpenSSH's server, reached directly.
    pub(crate) fn sshd(config: &Path, port: u16, key: &Path, known_hosts: &Path) -> Result<Self> {
        Self { host: "127.0.0.1".into(), port, jump: None, ..Self::blank(config, key, known_hosts)? }.configured()
    }

    /// Our agent, reached through the daemon at `jump`.
    pub(crate) fn agent(config: &Path, host: &str, jump: u16, key: &Path, known_hosts: &Path) -> Result<Self> {
        Self { host: host.into(), jump: Some(jump), ..Self::blank(config, key, known_hosts)? }.configured()
    }

    /// `program -F <config>`.
    pub(crate) fn client(&self, program: &str) -> Command {
        let mut client = Command::new(program);
        client.arg("-F").arg(&self.config);
        client
    }

    /// For those who take a command line instead: `ssh -F <config>`.
    pub(crate) fn ssh_line(&self) -> String {
        format!("ssh -F {}", self.config.display())
    }

    /// What it is called where it is reached.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Its port there.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// The jump host's port on this machine.
    pub(crate) const fn jump(&self) -> Option<u16> {
        self.jump
    }

    /// Who logs in.
    pub(crate) fn account(&self) -> &str {
        &self.account
    }

    /// What a script needs to know.
    pub(crate) fn describe(&self) -> Value {
        json!({"host": self.host, "port": self.port, "jumpPort": self.jump, "user": self.account, "key": self.key,
               "knownHosts": self.known_hosts, "config": self.config})
    }

    /// What differs only because two servers cannot be one: shown under one name.
    pub(crate) fn names(&self) -> Vec<(String, String)> {
        let told = |word: &str| (format!("{word} to {}", self.host), format!("{word} to <host>"));
        vec![told("Connection"), told("connection"), (self.config.display().to_string(), "<config>".into())]
    }

    fn blank(config: &Path, key: &Path, known_hosts: &Path) -> Result<Self> {
        Ok(Self {
            config: config.into(),
            host: String::new(),
            port: 22,
            jump: None,
            account: account()?,
            key: key.into(),
            known_hosts: known_hosts.into(),
        })
    }

    fn configured(self) -> Result<Self> {
        let way = match self.jump {
            None => String::new(),
            Some(port) => format!("  ProxyJump jump\n\nHost jump\n  HostName 127.0.0.1\n  Port {port}\n"),
        };
        let text = format!(
            "Host {TARGET}\n  HostName {}\n  Port {}\n  User {}\n{way}\nHost *\n  IdentityFile \"{}\"\n  IdentitiesOnly yes\n  \
             UserKnownHostsFile \"{}\"\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  CheckHostIP no\n  \
             UpdateHostKeys no\n  BatchMode yes\n  ConnectTimeout 30\n  IdentityAgent none\n",
            self.host,
            self.port,
            self.account,
            self.key.display(),
            self.known_hosts.display(),
        );
        fs::write(&self.config, text)?;
        Ok(self)
    }
}

/// Both servers run as the account of this process.
fn account() -> Result<String> {
    let output = Command::new("id").arg("-un").output().context("id does not start")?;
    ensure!(output.status.success(), "this process's account has no name");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

//! A way to a shell: through OpenSSH twice, or through our daemon to our agent. All are called in the same words.

use anyhow::{Context, Result, ensure};
use e2e::pairs::Way;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What every configuration calls its goal.
const TARGET: &str = "target";

/// What both hops agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Terms {
    /// The same cipher and key exchange, whoever serves.
    Equal,
    /// What a client without a configuration gets.
    Stock,
}

impl Terms {
    /// As tables are called.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Stock => "stock",
        }
    }

    const fn lines(self) -> &'static str {
        match self {
            Self::Equal => "  Ciphers aes256-gcm@openssh.com\n  KexAlgorithms curve25519-sha256\n",
            Self::Stock => "",
        }
    }
}

/// Where a hop listens, and the process that serves it.
#[derive(Clone, Debug)]
pub(crate) struct Hop {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) pid: u32,
}

/// A way.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// As figures are called.
    pub(crate) name: &'static str,
    pub(crate) jump: Hop,
    pub(crate) target: Hop,
    config: PathBuf,
}

impl Way for Route {
    fn name(&self) -> &'static str {
        self.name
    }

    fn hops(&self) -> [u32; 2] {
        [self.jump.pid, self.target.pid]
    }
}

impl Route {
    /// One called `name` with files in `dir`, for `user` with the private key in `key`.
    pub(crate) fn new(
        name: &'static str,
        dir: &Path,
        [jump, target]: [Hop; 2],
        user: &str,
        key: &Path,
        terms: Terms,
    ) -> Result<Self> {
        let config = dir.join(format!("{name}.{}", terms.name()));
        let text = format!(
            "Host {TARGET}\n  HostName {}\n  Port {}\n  User {user}\n  ProxyJump jump\n\nHost jump\n  HostName {}\n  Port {}\n\n\
             Host *\n  IdentityFile \"{}\"\n  IdentitiesOnly yes\n  IdentityAgent none\n  UserKnownHostsFile /dev/null\n  \
             GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking no\n  LogLevel ERROR\n  BatchMode yes\n  ConnectTimeout 60\n{}",
            target.host,
            target.port,
            jump.host,
            jump.port,
            key.display(),
            terms.lines(),
        );
        fs::write(&config, text)?;
        Ok(Self { name, jump, target, config })
    }

    /// `ssh <options> target`, up to the command.
    pub(crate) fn ssh(&self, options: &[&str]) -> Command {
        let mut ssh = self.client("ssh");
        ssh.args(options).arg(TARGET).stderr(Stdio::inherit());
        ssh
    }

    /// `program -F <config>`.
    pub(crate) fn client(&self, program: &str) -> Command {
        let mut client = Command::new(program);
        client.arg("-F").arg(&self.config).stdin(Stdio::null()).stdout(Stdio::null());
        client
    }

    /// For programs that start ssh themselves.
    pub(crate) fn ssh_line(&self) -> String {
        format!("ssh -F {}", self.config.display())
    }

    /// `path` over there.
    pub(crate) fn remote(&self, path: &Path) -> String {
        format!("{TARGET}:{}", path.display())
    }
}

/// Runs `command` to its good end.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

//! OpenSSH's sshd beside the stack: own configuration, own host key, loopback, a free port.

use anyhow::{Context, Result};
use rustix::process::Signal;
use std::{
    fs,
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream},
    path::Path,
    time::Duration,
};
use xtask::{process::Process, stack::keygen, tools::Sshd};

/// It listens within this time.
const READY: Duration = Duration::from_secs(20);

/// The running server.
#[derive(Debug)]
pub struct Reference {
    /// Its listener.
    pub process: Process,
    /// Where it listens.
    pub port: u16,
    /// Its host key's public line.
    pub host_key: String,
}

impl Reference {
    /// Starts it on 127.0.0.1 with files in `dir`, letting in whoever holds a key of `authorized_keys`, with `more` lines of configuration.
    pub fn start(sshd: &Sshd, dir: &Path, authorized_keys: &Path, more: &str) -> Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST, sshd, dir, authorized_keys, more)
    }

    /// The same on another address of this machine's.
    pub fn start_at(address: Ipv4Addr, sshd: &Sshd, dir: &Path, authorized_keys: &Path, more: &str) -> Result<Self> {
        if dir.exists() {
            fs::remove_dir_all(dir)?;
        }
        fs::create_dir_all(dir)?;
        let key = keygen(&dir.join("host_key"), "reference")?;
        let port = TcpListener::bind((address, 0))?.local_addr()?.port();
        let address = SocketAddrV4::new(address, port);
        let config = dir.join("sshd_config");
        fs::write(&config, configuration(address, &key, authorized_keys, &sshd.sftp_server) + more)?;
        let mut command = sshd.command();
        command.args(["-D", "-e", "-f"]).arg(&config);
        let mut process = Process::start("sshd", &mut command, &dir.join("log"), Signal::TERM)?;
        process.until("listening", READY, || TcpStream::connect(address).ok().map(drop))?;
        let host_key = fs::read_to_string(key.with_extension("pub")).context("no host key")?;
        Ok(Self { process, port, host_key: host_key.trim().to_owned() })
    }
}

/// sshd's defaults but for what is said here.
fn configuration(address: SocketAddrV4, host_key: &Path, authorized_keys: &Path, sftp_server: &Path) -> String {
    format!(
        "ListenAddress {address}\n\
         HostKey {}\n\
         AuthorizedKeysFile {}\n\
         Subsystem sftp {}\n\
         PidFile none\n\
         # The checkout may be anywhere.\n\
         StrictModes no\n\
         AuthenticationMethods publickey\n\
         PermitRootLogin prohibit-password\n\
         UsePAM no\n\
         # An agent keeps no login records to tell of.\n\
         PrintLastLog no\n\
         # What the agent's default policy accepts.\n\
         AcceptEnv LANG LC_* TERM COLORTERM GIT_*\n\
         # Suites knock more often than ten at a time, and open more than ten sessions.\n\
         MaxStartups 500\n\
         MaxSessions 256\n",
        host_key.display(),
        authorized_keys.display(),
        sftp_server.display()
    )
}

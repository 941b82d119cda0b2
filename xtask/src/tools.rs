//! Programs that tests measure against: found on the machine, else unpacked under `target/tools`.

mod debian;
pub mod python;

use crate::{build, cargo::cargo};
use anyhow::{Context, Result, ensure};
use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Where distributions keep `sftp-server`.
const SFTP_SERVERS: &[&str] = &["lib/openssh/sftp-server", "libexec/openssh/sftp-server", "lib/ssh/sftp-server"];

/// The version that tunnels are compared with.
const RATHOLE: &str = "0.5.0";

/// OpenSSH's server.
#[derive(Clone, Debug)]
pub struct Sshd {
    /// `sshd`; it insists on being started by its absolute path.
    pub program: PathBuf,
    /// `sftp-server`.
    pub sftp_server: PathBuf,
    /// For `LD_LIBRARY_PATH`: what came along with it.
    libraries: Option<PathBuf>,
}

impl Sshd {
    /// The machine's own, or its distribution's package unpacked; fails in words where there is neither.
    pub fn find(root: &Path) -> Result<Self> {
        if let Some(own) = Self::below(Path::new("/usr"), None) {
            return Ok(own);
        }
        let packages = ["openssh-server", "openssh-sftp-server", "libwrap0"];
        let folder = debian::unpack(&folder(root), "openssh", &packages)
            .context("there is no sshd here and none to be had: install OpenSSH's server (it need not run)")?;
        let found = Self::below(&folder.join("usr"), Some(debian::libraries(&folder)?)).context("no sshd in its package")?;
        found.starts()?;
        Ok(found)
    }

    /// `sshd`, with the libraries it needs.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.envs(self.libraries.iter().map(|folder| ("LD_LIBRARY_PATH", folder)));
        command
    }

    fn below(usr: &Path, libraries: Option<PathBuf>) -> Option<Self> {
        let program = usr.join("sbin/sshd");
        let sftp_server = SFTP_SERVERS.iter().map(|path| usr.join(path)).find(|path| path.is_file())?;
        program.is_file().then_some(Self { program, sftp_server, libraries })
    }

    fn starts(&self) -> Result<()> {
        let output = self.command().arg("-?").output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(said.contains("OpenSSH_"), "the unpacked sshd does not start: {said}");
        Ok(())
    }
}

/// A program that works as rsync: the machine's own, or its distribution's package behind a small script.
pub fn rsync(root: &Path) -> Result<PathBuf> {
    if let Some(own) = in_path("rsync") {
        return Ok(own);
    }
    let folder = debian::unpack(&folder(root), "rsync", &["rsync", "libpopt0", "libxxhash0"])
        .context("there is no rsync here and none to be had: install rsync")?;
    let script = folder.join("rsync");
    let (libraries, program) = (debian::libraries(&folder)?, folder.join("usr/bin/rsync"));
    let text = format!("#!/bin/sh\nLD_LIBRARY_PATH='{}' exec '{}' \"$@\"\n", libraries.display(), program.display());
    if fs::read_to_string(&script).ok().as_deref() != Some(&text) {
        fs::write(&script, text)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    }
    let output = Command::new(&script).arg("--version").output()?;
    ensure!(output.status.success(), "the unpacked rsync does not start: {}", String::from_utf8_lossy(&output.stderr));
    Ok(script)
}

/// rathole, built here once from its crate; with newer dependencies than it was locked to, which do not compile any more.
pub fn rathole(root: &Path) -> Result<PathBuf> {
    let folder = folder(root).join("rathole");
    let program = folder.join("bin/rathole");
    let version = Command::new(&program).arg("--version").output();
    if version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(RATHOLE)) {
        return Ok(program);
    }
    eprintln!("setup: building rathole {RATHOLE} under {} (once) ...", folder.display());
    let mut install = cargo(root);
    install.args(["install", "--quiet", "--force", "--version", RATHOLE, "--root"]).arg(&folder);
    install.args(["--no-default-features", "--features", "server,client,noise", "rathole"]);
    ensure!(install.status()?.success(), "rathole cannot be built: is crates.io reachable?");
    Ok(program)
}

fn folder(root: &Path) -> PathBuf {
    build::target(root).join("tools")
}

fn in_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

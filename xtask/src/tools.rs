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

/// From here on an exit code is the shell's: the program could not be started, or its libraries are missing.
const NOT_STARTED: i32 = 126;

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

/// rsync.
pub fn rsync(root: &Path) -> Result<PathBuf> {
    let [rsync] = programs(root, "rsync", &["rsync", "libpopt0", "libxxhash0"], ["rsync"])?;
    let output = Command::new(&rsync).arg("--version").output()?;
    ensure!(output.status.success(), "{} does not start: {}", rsync.display(), String::from_utf8_lossy(&output.stderr));
    Ok(rsync)
}

/// PuTTY's clients on a command line: `plink`, `pscp`, `psftp`, and `puttygen` for keys.
pub fn putty(root: &Path) -> Result<[PathBuf; 4]> {
    programs(root, "putty", &["putty-tools"], ["plink", "pscp", "psftp", "puttygen"])
}

/// Dropbear's client, and what converts keys for it.
pub fn dropbear(root: &Path) -> Result<[PathBuf; 2]> {
    let packages = ["dropbear-bin", "libtomcrypt1", "libtommath1", "libgmp10"];
    programs(root, "dropbear", &packages, ["dbclient", "dropbearconvert"])
}

/// The machine's own programs, or those of a distribution's packages, each behind a small script.
fn programs<const N: usize>(root: &Path, name: &str, packages: &[&str], names: [&str; N]) -> Result<[PathBuf; N]> {
    if names.iter().all(|name| in_path(name).is_some()) {
        return Ok(names.map(|name| in_path(name).unwrap_or_default()));
    }
    let folder = debian::unpack(&folder(root), name, packages)
        .with_context(|| format!("there is no {name} here and none to be had: install {}", packages.join(" ")))?;
    for name in names {
        script(&folder, name)?;
    }
    Ok(names.map(|name| folder.join(name)))
}

/// Has `folder/name` start the unpacked program of that name with the libraries that came along.
fn script(folder: &Path, name: &str) -> Result<()> {
    let (script, program) = (folder.join(name), folder.join("usr/bin").join(name));
    let libraries = debian::libraries(folder).map(|libraries| format!("LD_LIBRARY_PATH='{}' ", libraries.display()));
    let text = format!("#!/bin/sh\n{}exec '{}' \"$@\"\n", libraries.unwrap_or_default(), program.display());
    if fs::read_to_string(&script).ok().as_deref() != Some(&text) {
        fs::write(&script, text)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    }
    let output = Command::new(&script).arg("--version").output()?;
    ensure!(
        output.status.code().is_some_and(|code| code < NOT_STARTED),
        "the unpacked {name} does not start: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
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

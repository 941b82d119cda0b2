//! What the stack keeps on disk: keys, logs, trust, ssh_config.

use super::JUMP;
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Says that a folder is a stack's, and that the next one there may empty it.
const MARK: &str = ".drawbridge-stack";
/// The same where a stack from before that file was.
const FORMER_MARK: &str = "edge/secrets.env";

/// Fails where ssh could not log in by an ssh_config in `dir`: for `-J` it starts itself by a shell's line, in which it quotes nothing.
pub fn require_plain(dir: &Path) -> Result<()> {
    let plain = |letter: char| letter.is_alphanumeric() || "/._-+,:@=".contains(letter);
    ensure!(
        dir.to_str().is_some_and(|path| path.chars().all(plain)),
        "ssh -J cannot bear the path {}: give --dir a folder without blanks, quotes and signs, or move the checkout to one",
        dir.display()
    );
    Ok(())
}

/// Fails where `dir` holds anything but a stack: whoever mistypes a folder keeps what is in it.
pub fn require_ours(dir: &Path) -> Result<()> {
    let ours = [MARK, FORMER_MARK].iter().any(|mark| dir.join(mark).exists());
    ensure!(
        ours || !dir.exists() || fs::read_dir(dir).is_ok_and(|mut held| held.next().is_none()),
        "{} is no stack's folder and not empty: a stack empties its folder first, so give it another one with --dir",
        dir.display()
    );
    Ok(())
}

/// Empties `dir` and makes its folders.
pub(super) fn fresh(dir: &Path) -> Result<()> {
    require_ours(dir)?;
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    fs::create_dir_all(dir)?;
    fs::write(dir.join(MARK), "")?;
    for folder in ["keys", "logs", "edge", "agents"] {
        fs::create_dir_all(dir.join(folder))?;
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    Ok(())
}

/// The log of `name`.
pub(super) fn log(dir: &Path, name: &str) -> PathBuf {
    dir.join("logs").join(format!("{name}.log"))
}

/// The edge's public signing keys.
pub(super) fn trust(dir: &Path) -> PathBuf {
    dir.join("trust")
}

/// A new ed25519 key pair without a passphrase.
pub fn keygen(file: &Path, comment: &str) -> Result<PathBuf> {
    output(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"]).arg(file))?;
    Ok(file.into())
}

/// What `command` prints, if it succeeds.
pub(super) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// An ssh_config that touches nothing of the user's; the first demo user's is plain `ssh_config`.
pub(super) fn ssh_config(dir: &Path, user: &str, port: u16, key: &Path, [keys, authorities]: &[PathBuf; 2]) -> Result<PathBuf> {
    let path = dir.join(if user == "alice" { "ssh_config".into() } else { format!("ssh_config.{user}") });
    let text = format!(
        "Host {JUMP}\n  HostName 127.0.0.1\n  Port {port}\n\nHost *\n  IdentityFile \"{key}\"\n  IdentitiesOnly yes\n  \
         IdentityAgent none\n  UserKnownHostsFile \"{keys}\" \"{authorities}\"\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  \
         CheckHostIP no\n  UpdateHostKeys no\n",
        key = key.display(),
        keys = keys.display(),
        authorities = authorities.display(),
    );
    fs::write(&path, text)?;
    Ok(path)
}

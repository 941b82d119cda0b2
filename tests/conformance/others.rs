//! Clients that are not OpenSSH's and have no library: PuTTY's on a command line, and Dropbear's.

mod dropbear;
mod putty;

use crate::{Named, openssh::boxed, run::run};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use xtask::{root, tools};

/// All of them.
pub(crate) fn cases() -> impl Iterator<Item = Named> {
    let all = [("putty", putty::CASES), ("dropbear", dropbear::CASES)];
    all.into_iter().flat_map(|(client, cases)| cases.iter().map(move |(name, play)| (format!("{client}::{name}"), boxed(*play))))
}

/// Their programs, and what they believe and show in formats of their own.
pub(crate) struct Others {
    plink: PathBuf,
    pscp: PathBuf,
    psftp: PathBuf,
    dbclient: PathBuf,
    putty_key: PathBuf,
    dropbear_key: PathBuf,
    /// Fingerprints of all host keys.
    fingerprints: Vec<String>,
}

impl Others {
    /// Unpacks what is missing.
    pub(crate) fn prepare() -> Result<()> {
        tools::putty(root())?;
        tools::dropbear(root()).map(drop)
    }

    /// With `key` converted in `folder`.
    pub(crate) fn new(folder: &Path, key: &Path, known_hosts: &Path) -> Result<Self> {
        let [plink, pscp, psftp, puttygen] = tools::putty(root())?;
        let [dbclient, dropbearconvert] = tools::dropbear(root())?;
        let (putty_key, dropbear_key) = (folder.join("key.ppk"), folder.join("key.dropbear"));
        done(Command::new(puttygen).arg(key).args(["-O", "private", "-o"]).arg(&putty_key))?;
        done(Command::new(dropbearconvert).args(["openssh", "dropbear"]).arg(key).arg(&dropbear_key))?;
        let fingerprints = fingerprints(folder, known_hosts)?;
        Ok(Self { plink, pscp, psftp, dbclient, putty_key, dropbear_key, fingerprints })
    }
}

/// Of the plain keys of a known_hosts file, as PuTTY is told them.
fn fingerprints(folder: &Path, known_hosts: &Path) -> Result<Vec<String>> {
    let known = fs::read_to_string(known_hosts)?;
    let plain: String = known.lines().filter(|line| !line.starts_with('@')).map(|line| format!("{line}\n")).collect();
    let file = folder.join("known_hosts.plain");
    fs::write(&file, plain)?;
    let listed = done(Command::new("ssh-keygen").arg("-lf").arg(&file))?;
    let fingerprints: Vec<_> = listed.lines().filter_map(|line| line.split(' ').nth(1)).map(str::to_owned).collect();
    ensure!(!fingerprints.is_empty(), "no host key in {}", known_hosts.display());
    Ok(fingerprints)
}

fn done(command: &mut Command) -> Result<String> {
    let outcome = run(command, &[])?;
    ensure!(outcome.status == Some(0), "{command:?}: {}", outcome.err);
    String::from_utf8(outcome.out).context("no text")
}

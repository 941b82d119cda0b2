//! `cargo xtask bench`: figures of the whole system, measured by release builds of it.

use crate::{cargo::cargo, setup};
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use std::{ffi::OsString, path::Path, process::ExitCode};

/// What can be measured.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum What {
    /// Thousands of agents on one daemon, over each transport: memory and CPU of an idle tunnel, and how soon all are back
    Agents,
    /// Logins that the jump host bears, and what sessions hold that only wait
    Daemon,
    /// A million keys: one change, its way to a daemon, cold starts, look-ups, and the Worker under workerd
    Edge,
    /// Our stack beside `ssh -J` through two sshd: logins, transfers, keystrokes, memory
    Ssh,
    /// TCP through our tunnel over each transport, beside the same through rathole
    Tunnel,
    /// From an acknowledged DELETE to the end of the key's sessions at daemon and agent, with the feed and without
    Revocation,
    /// One after the other: all of these
    All,
}

impl What {
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Agents => &["agents"],
            Self::Daemon => &["daemon"],
            Self::Edge => &["edge"],
            Self::Ssh => &["ssh"],
            Self::Tunnel => &["tunnel"],
            Self::Revocation => &["revocation"],
            Self::All => &["ssh", "tunnel", "daemon", "agents", "edge", "revocation"],
        }
    }
}

/// Builds and runs what measures it, which knows the system as this crate does not. One that fails is a failure, and the others
/// run all the same. `more` are options of its own.
pub fn bench(root: &Path, what: What, json: bool, more: &[OsString]) -> Result<ExitCode> {
    setup::run(root)?;
    let names = what.names();
    ensure!(more.is_empty() || names.len() == 1, "options are a single benchmark's: name one of {}", names.join(", "));
    let mut failed = Vec::new();
    for name in names {
        let mut bench = cargo(root);
        bench.args(["bench", "--quiet", "-p", "e2e", "--bench", name, "--"]);
        if !bench.args(json.then_some("--json")).args(more).status().context("cannot run cargo")?.success() {
            failed.push(*name);
        }
    }
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(ExitCode::SUCCESS)
}

//! `cargo xtask bench`: figures of the whole system, measured by release builds of it.

use crate::{
    cargo::{cargo, outcome},
    setup,
};
use anyhow::Result;
use clap::ValueEnum;
use std::{ffi::OsString, path::Path, process::ExitCode};

/// What can be measured.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum What {
    /// Thousands of agents on one daemon, over each transport: memory and CPU of an idle tunnel, and how soon all are back
    Agents,
    /// A million keys: one change, its way to a daemon, cold starts, look-ups, and the Worker under workerd
    Edge,
    /// Our stack beside `ssh -J` through two sshd: logins, transfers, keystrokes, memory
    Ssh,
    /// From an acknowledged DELETE to the end of the key's sessions at daemon and agent, with the feed and without
    Revocation,
}

impl What {
    const fn name(self) -> &'static str {
        match self {
            Self::Agents => "agents",
            Self::Edge => "edge",
            Self::Ssh => "ssh",
            Self::Revocation => "revocation",
        }
    }
}

/// Builds and runs the benchmark, which knows the system as this crate does not; its exit status is ours. `more` are options of its own.
pub fn bench(root: &Path, what: What, json: bool, more: &[OsString]) -> Result<ExitCode> {
    setup::run(root)?;
    let mut bench = cargo(root);
    bench.args(["bench", "--quiet", "-p", "e2e", "--bench", what.name(), "--"]);
    outcome(bench.args(json.then_some("--json")).args(more))
}

//! `cargo xtask bench`: figures of the whole system, measured by release builds of it.

use crate::setup;
use anyhow::{Context, Result};
use clap::ValueEnum;
use std::{
    env,
    path::Path,
    process::{Command, ExitCode},
};

/// What can be measured.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum What {
    /// A million keys: one change, its way to a daemon, cold starts, look-ups, and the Worker under workerd
    Edge,
}

/// Builds and runs the benchmark, which knows the system as this crate does not; its exit status is ours.
pub fn bench(root: &Path, what: What, json: bool) -> Result<ExitCode> {
    setup::run(root)?;
    let What::Edge = what;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut bench = Command::new(cargo);
    bench.current_dir(root).args(["bench", "--quiet", "-p", "e2e", "--bench", "edge", "--"]).args(json.then_some("--json"));
    let status = bench.status().context("cannot run cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

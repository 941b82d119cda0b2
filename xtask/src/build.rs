//! Builds what the system runs: the Worker, the daemon, the agent.

use crate::{setup, wasm};
use anyhow::{Context, Result, ensure};
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// The native programs.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `drawbridge-daemon`.
    pub daemon: PathBuf,
    /// `drawbridge-agent`.
    pub agent: PathBuf,
}

/// Prepares the machine and builds everything, saying so.
pub fn all(root: &Path) -> Result<Programs> {
    setup::run(root)?;
    setup::require_ssh()?;
    eprintln!("building the daemon and the agent ...");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["build", "--quiet", "--bins", "-p", "drawbridge-daemon", "-p", "drawbridge-agent"];
    let built = Command::new(cargo).current_dir(root).args(arguments).status().context("cannot run cargo")?;
    ensure!(built.success(), "the build failed");
    eprintln!("building the Worker ...");
    wasm::build(root)?;
    Ok(programs(root))
}

/// Where [`all`] leaves the programs.
pub fn programs(root: &Path) -> Programs {
    let folder = target(root).join("debug");
    Programs { daemon: folder.join("drawbridge-daemon"), agent: folder.join("drawbridge-agent") }
}

/// Where cargo puts what it builds.
pub fn target(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder))
}

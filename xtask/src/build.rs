//! Builds what the system runs: the Worker, the daemon, the agent.

use crate::{cargo::cargo, release, setup, wasm};
use anyhow::{Context, Result, ensure};
use std::{
    env,
    path::{Path, PathBuf},
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
    prepare(root)?;
    eprintln!("building the daemon and the agent ...");
    let mut build = cargo(root);
    build.args(["build", "--quiet", "--bins", "-p", "drawbridge-daemon", "-p", "drawbridge-agent"]);
    ensure!(build.status().context("cannot run cargo")?.success(), "the build failed");
    worker(root)?;
    Ok(programs(root))
}

/// The same, with the native programs built as they are shipped.
pub fn released(root: &Path) -> Result<Programs> {
    prepare(root)?;
    let programs = release::release(root)?;
    worker(root)?;
    Ok(programs)
}

fn prepare(root: &Path) -> Result<()> {
    setup::run(root)?;
    setup::require_ssh()
}

fn worker(root: &Path) -> Result<()> {
    eprintln!("building the Worker ...");
    wasm::build(root).map(drop)
}

/// Where [`all`] leaves the programs.
pub fn programs(root: &Path) -> Programs {
    Programs::below(&target(root).join("debug"))
}

impl Programs {
    /// In cargo's `folder`.
    pub(crate) fn below(folder: &Path) -> Self {
        Self { daemon: folder.join("drawbridge-daemon"), agent: folder.join("drawbridge-agent") }
    }
}

/// Where cargo puts what it builds.
pub fn target(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder))
}

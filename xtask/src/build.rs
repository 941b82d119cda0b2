//! Builds what the system runs: the Worker, the daemon, the agent.

use crate::{cargo::cargo, setup, wasm};
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

/// How the native programs are built: quickly, or well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// For tests.
    Dev,
    /// As they are shipped.
    Release,
}

/// Prepares the machine and builds everything, saying so.
pub fn all(root: &Path) -> Result<Programs> {
    everything(root, Profile::Dev)
}

/// The same, with the native programs built as they are shipped.
pub fn released(root: &Path) -> Result<Programs> {
    everything(root, Profile::Release)
}

fn everything(root: &Path, profile: Profile) -> Result<Programs> {
    setup::run(root)?;
    setup::require_ssh()?;
    eprintln!("building the daemon and the agent ...");
    let mut build = cargo(root);
    build.args(["build", "--quiet", "--bins", "-p", "drawbridge-daemon", "-p", "drawbridge-agent"]);
    build.args((profile == Profile::Release).then_some("--release"));
    ensure!(build.status().context("cannot run cargo")?.success(), "the build failed");
    eprintln!("building the Worker ...");
    wasm::build(root)?;
    Ok(built(root, profile))
}

/// Where [`all`] leaves the programs.
pub fn programs(root: &Path) -> Programs {
    built(root, Profile::Dev)
}

/// Where programs built as `profile` are.
pub fn built(root: &Path, profile: Profile) -> Programs {
    let folder = target(root).join(if profile == Profile::Release { "release" } else { "debug" });
    Programs { daemon: folder.join("drawbridge-daemon"), agent: folder.join("drawbridge-agent") }
}

/// Where cargo puts what it builds.
pub fn target(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder))
}

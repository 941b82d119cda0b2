//! `cargo xtask soak`: everything at once for a while, and then nothing may be left of it.

use crate::build;
use anyhow::{Context, Result};
use std::{
    env,
    ffi::OsString,
    path::Path,
    process::{Command, ExitCode},
};

/// Prepares, builds and runs it, which knows the system as this crate does not; `arguments` are its own.
pub fn soak(root: &Path, arguments: &[OsString]) -> Result<ExitCode> {
    build::all(root)?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut soak = Command::new(cargo);
    soak.current_dir(root).args(["run", "--quiet", "-p", "e2e", "--bin", "soak", "--"]).args(arguments);
    let status = soak.status().context("cannot run cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

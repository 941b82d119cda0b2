//! `cargo xtask test`: everything, on a machine that may have nothing yet.

use crate::build;
use anyhow::{Context, Result, ensure};
use std::{
    env,
    ffi::OsString,
    path::Path,
    process::{Command, ExitCode},
};

/// Prepares, builds, and runs all tests; `arguments` go to `cargo test`.
pub fn test(root: &Path, arguments: &[OsString]) -> Result<ExitCode> {
    build::all(root)?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(root)
        .args(["test", "--workspace"])
        .args(arguments)
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "there are failures");
    Ok(ExitCode::SUCCESS)
}

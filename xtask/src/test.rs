//! `cargo xtask test`: everything, on a machine that may have nothing yet.

use crate::{build, cargo::cargo};
use anyhow::{Context, Result, ensure};
use std::{ffi::OsString, path::Path, process::ExitCode};

/// Prepares, builds, and runs all tests; `arguments` go to `cargo test`.
pub fn test(root: &Path, arguments: &[OsString]) -> Result<ExitCode> {
    build::all(root)?;
    let status = cargo(root).args(["test", "--workspace"]).args(arguments).status().context("cannot run cargo")?;
    ensure!(status.success(), "there are failures");
    Ok(ExitCode::SUCCESS)
}

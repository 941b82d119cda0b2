//! `cargo xtask conformance`: each case against OpenSSH's sshd and against our agent.

use crate::build;
use anyhow::{Context, Result};
use std::{
    env,
    ffi::OsString,
    path::Path,
    process::{Command, ExitCode},
};

/// Prepares, builds and runs the suite alone; `arguments` are filters and options of its runner.
pub fn conformance(root: &Path, arguments: &[OsString]) -> Result<ExitCode> {
    build::all(root)?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut suite = Command::new(cargo);
    suite.current_dir(root).args(["test", "--quiet", "-p", "e2e", "--test", "conformance", "--"]).args(arguments);
    let status = suite.status().context("cannot run cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

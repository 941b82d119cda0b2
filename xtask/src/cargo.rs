//! The cargo that runs us, started once more.

use anyhow::{Context, Result};
use std::{
    env,
    path::Path,
    process::{Command, ExitCode},
};

/// In the checkout at `root`.
pub fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root);
    cargo
}

/// What comes of `command`, as our own end.
pub fn outcome(command: &mut Command) -> Result<ExitCode> {
    let status = command.status().context("cannot run cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

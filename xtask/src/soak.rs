//! `cargo xtask soak`: everything at once for a while, and then nothing may be left of it.

use crate::cargo::{cargo, outcome};
use anyhow::Result;
use std::{ffi::OsString, path::Path, process::ExitCode};

/// Builds and runs it, which knows the system as this crate does not; `arguments` are its own.
pub fn soak(root: &Path, arguments: &[OsString]) -> Result<ExitCode> {
    outcome(cargo(root).args(["run", "--quiet", "-p", "e2e", "--bin", "soak", "--"]).args(arguments))
}

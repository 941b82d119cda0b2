//! `cargo xtask conformance`: each case against OpenSSH's sshd and against our agent.

use crate::{
    build,
    cargo::{cargo, outcome},
};
use anyhow::Result;
use std::{ffi::OsString, path::Path, process::ExitCode};

/// Prepares, builds and runs the suite alone; `arguments` are filters and options of its runner.
pub fn conformance(root: &Path, arguments: &[OsString]) -> Result<ExitCode> {
    build::all(root)?;
    outcome(cargo(root).args(["test", "--quiet", "-p", "e2e", "--test", "conformance", "--"]).args(arguments))
}

//! `cargo xtask conformance`: each case against OpenSSH's sshd and against our agent.

use crate::{
    build,
    cargo::{cargo, outcome},
    whole,
};
use anyhow::Result;
use std::{ffi::OsString, path::Path, process::ExitCode};

/// Prepares, builds and runs the suite alone, which who asks for it wants whole; `arguments` are filters and options of its runner.
pub fn conformance(root: &Path, arguments: &[OsString]) -> Result<ExitCode> {
    build::all(root)?;
    let mut suite = cargo(root);
    suite.args(["test", "--quiet", "-p", "e2e", "--test", "conformance", "--"]).args(arguments).env(whole::DEMANDED, "1");
    outcome(&mut suite)
}

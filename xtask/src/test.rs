//! `cargo xtask test`: everything, on a machine that may have nothing yet.

use crate::{build, cargo::cargo, whole};
use anyhow::{Context, Result, ensure};
use std::{ffi::OsString, fs, path::Path, process::ExitCode};

/// Prepares, builds, and runs all tests, whichever fail; says last what this machine cannot run. `arguments` go to `cargo test`.
pub fn test(root: &Path, arguments: &[OsString]) -> Result<ExitCode> {
    build::all(root)?;
    let list = build::target(root).join("left-out");
    fs::write(&list, "")?;
    let mut tests = cargo(root);
    tests.args(["test", "--workspace", "--no-fail-fast"]).args(arguments).env(whole::LIST, &list);
    let status = tests.status().context("cannot run cargo")?;
    whole::say(&fs::read_to_string(&list)?);
    ensure!(status.success(), "there are failures");
    Ok(ExitCode::SUCCESS)
}

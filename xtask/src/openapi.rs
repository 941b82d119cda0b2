//! `cargo xtask openapi`: the API's description, from the code into the file that is deployed.

use crate::cargo::cargo;
use anyhow::{Context, Result, ensure};
use std::{fs, path::Path, process::ExitCode};

/// Where it is served from; a test fails when it is not current.
const FILE: &str = "edge/assets/api/openapi.json";

/// Writes it anew.
pub fn write(root: &Path) -> Result<ExitCode> {
    let mut print = cargo(root);
    print.args(["run", "--quiet", "-p", "drawbridge-edge", "--example", "openapi"]);
    let printed = print.output().context("cannot run cargo")?;
    ensure!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    fs::write(root.join(FILE), printed.stdout).context(FILE)?;
    eprintln!("{FILE} is current");
    Ok(ExitCode::SUCCESS)
}

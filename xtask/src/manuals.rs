//! `cargo xtask manuals`: what a package of the programs holds beside them.

use crate::{build, cargo::cargo};
use anyhow::{Context, Result, ensure};
use std::{path::Path, process::ExitCode};

/// Writes man pages and completions below cargo's target folder, and says where.
pub fn write(root: &Path) -> Result<ExitCode> {
    let dir = build::target(root).join("manuals");
    let mut make = cargo(root);
    make.args(["run", "--quiet", "-p", "e2e", "--example", "manuals", "--"]).arg(&dir);
    ensure!(make.status().context("cannot run cargo")?.success(), "the manuals were not made");
    println!("{}/man1", dir.display());
    println!("{}/completions", dir.display());
    Ok(ExitCode::SUCCESS)
}

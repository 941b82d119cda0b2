//! Brings a fresh clone to where everything can be built and run: the wasm target, and the edge runtime's packages.

use crate::build;
use anyhow::{Context, Result, bail, ensure};
use std::{
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    process::{Command, Stdio},
};

/// Oldest Node that the pinned wrangler runs on.
const NODE: u32 = 20;
const WASM: &str = "wasm32-unknown-unknown";
/// Written behind a complete `npm ci`, beside what it installed.
const STAMP: &str = "node_modules/.drawbridge-stamp";

/// Installs what is missing; silent when nothing is.
pub fn run(root: &Path) -> Result<()> {
    rust_target(WASM)?;
    require_node()?;
    node_packages(root)
}

/// An OpenSSH client is needed to try the real thing.
pub fn require_ssh() -> Result<()> {
    for tool in ["ssh", "ssh-keygen"] {
        ensure!(
            starts(tool, &["-?"]),
            "{tool} is missing: install the OpenSSH client, for example `apt-get install openssh-client`"
        );
    }
    Ok(())
}

/// The standard library for `target`.
pub(crate) fn rust_target(target: &str) -> Result<()> {
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]))?;
    if Path::new(&sysroot).join("lib/rustlib").join(target).join("lib").is_dir() {
        return Ok(());
    }
    eprintln!("setup: adding the Rust target {target}");
    let added = Command::new("rustup").args(["target", "add", target]).status();
    ensure!(added.is_ok_and(|status| status.success()), "the Rust target is missing: run `rustup target add {target}`");
    Ok(())
}

fn require_node() -> Result<()> {
    let advice = format!("install Node.js {NODE} or newer with npm, for example from https://nodejs.org");
    let Ok(version) = output(Command::new("node").arg("--version")) else { bail!("node is missing: {advice}") };
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    ensure!(major.is_some_and(|major| major >= NODE), "node is {version}: {advice}");
    ensure!(starts("npm", &["--version"]), "npm is missing: {advice}");
    Ok(())
}

fn node_packages(root: &Path) -> Result<()> {
    let lock = fs::read(root.join("package-lock.json")).context("package-lock.json cannot be read")?;
    let stamp = stamp_of(&lock);
    // Whoever comes while another installs finds all of it afterwards.
    let target = build::target(root);
    fs::create_dir_all(&target)?;
    let turn = File::create(target.join("node_modules.lock"))?;
    turn.lock()?;
    if fs::read_to_string(root.join(STAMP)).is_ok_and(|held| held == stamp) {
        return Ok(());
    }
    eprintln!("setup: npm ci (the edge runtime for local use, once)");
    let mut npm = Command::new("npm");
    npm.current_dir(root).args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]);
    let status = npm.stdout(Stdio::null()).status().context("npm does not start")?;
    ensure!(status.success(), "`npm ci` failed ({status}): is the npm registry reachable?");
    fs::write(root.join(STAMP), stamp).context("node_modules cannot be written")
}

/// Tells one lock file from another; guards nothing.
pub(crate) fn stamp_of(lock: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    lock.hash(&mut hasher);
    format!("{:016x}\n", hasher.finish())
}

fn starts(tool: &str, arguments: &[&str]) -> bool {
    Command::new(tool).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{:?} does not start", command.get_program()))?;
    ensure!(output.status.success(), "{:?} failed: {}", command.get_program(), String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

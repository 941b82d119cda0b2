//! `cargo xtask lint`: format, clippy for both targets, and the rules of the house that can be checked.

use crate::{cargo::cargo, readme, setup};
use anyhow::{Context, Result, bail, ensure};
use std::{
    path::Path,
    process::{Command, ExitCode},
};

/// Where the Worker runs.
const WASM: &str = "wasm32-unknown-unknown";

/// Crates that a package's tree must not contain: (package, target, what).
const ABSENT: &[(&str, Option<&str>, &[&str])] = &[
    (
        "drawbridge-edge",
        Some(WASM),
        &["mio", "quinn", "russh", "rustls", "tokio-tungstenite", "drawbridge-daemon", "drawbridge-agent"],
    ),
    ("drawbridge-edge", None, &["worker", "drawbridge-daemon", "drawbridge-agent"]),
    ("drawbridge-daemon", None, &["worker", "drawbridge-edge", "drawbridge-agent"]),
    ("drawbridge-agent", None, &["worker", "drawbridge-edge", "drawbridge-daemon"]),
    ("drawbridge-shared", None, &["worker", "drawbridge-edge", "drawbridge-daemon", "drawbridge-agent"]),
];

/// Words that only some files may contain: (word, where it is looked for, files that may).
const ALONE: &[(&str, &str, &[&str])] = &[
    ("worker::", "edge/src", &["edge/src/worker.rs", "edge/src/worker/"]),
    ("quinn", "shared/src", &["shared/src/native/quic.rs", "shared/src/native/quic/"]),
    ("tungstenite", "shared/src", &["shared/src/native/websocket.rs", "shared/src/native/websocket/"]),
    ("quinn::", "daemon/src", &[]),
    ("quinn::", "agent/src", &[]),
    ("russh::", "daemon/src", &["daemon/src/jump.rs", "daemon/src/jump/"]),
    ("russh::", "agent/src", &["agent/src/ssh.rs", "agent/src/ssh/"]),
    ("unsafe {", "agent/src", &["agent/src/ssh/spawn.rs"]),
];

/// Runs every check; the first that fails is named.
pub fn lint(root: &Path) -> Result<ExitCode> {
    setup::run(root)?;
    check(root, &["fmt", "--all", "--check"])?;
    check(root, &["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"])?;
    // The fuzzer's workspace has a lock file of its own, and follows this one's dependencies.
    check(root, &["fetch", "--locked", "--manifest-path", "fuzz/Cargo.toml"])?;
    check(root, &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    check(root, &["clippy", "-p", "drawbridge-edge", "--lib", "--target", WASM, "--", "-D", "warnings"])?;
    ABSENT.iter().try_for_each(|(package, target, crates)| absent(root, package, *target, crates))?;
    ALONE.iter().try_for_each(|(word, folder, files)| alone(root, word, folder, files))?;
    readme::check(root)?;
    deny(root)?;
    eprintln!("lint: all good");
    Ok(ExitCode::SUCCESS)
}

fn check(root: &Path, arguments: &[&str]) -> Result<()> {
    eprintln!("cargo {} ...", arguments.join(" "));
    let status = cargo(root).args(arguments).status().context("cannot run cargo")?;
    ensure!(status.success(), "`cargo {}` found something", arguments.join(" "));
    Ok(())
}

/// Which way dependencies go.
fn absent(root: &Path, package: &str, target: Option<&str>, crates: &[&str]) -> Result<()> {
    let mut tree = cargo(root);
    tree.args(["tree", "--prefix", "none", "--edges", "normal", "--format", "{p}", "-p", package]);
    tree.args(target.map(|target| ["--target", target]).into_iter().flatten());
    let output = tree.output().context("cannot run cargo tree")?;
    ensure!(output.status.success(), "cargo tree -p {package}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let present = |name: &&&str| text.lines().any(|line| line.split(' ').next() == Some(**name));
    match crates.iter().find(present) {
        Some(name) => bail!("{package} must not depend on {name} (ARCHITECTURE.md, rules of the house)"),
        None => Ok(()),
    }
}

/// Who may know what.
fn alone(root: &Path, word: &str, folder: &str, files: &[&str]) -> Result<()> {
    let output = Command::new("git").current_dir(root).args(["grep", "-lF", "--untracked", word, "--", folder]).output()?;
    let text = String::from_utf8(output.stdout)?;
    let stranger = text.lines().find(|file| file.ends_with(".rs") && !files.iter().any(|known| file.starts_with(known)));
    match stranger {
        Some(file) => bail!("{file} mentions '{word}', which belongs to {files:?} (ARCHITECTURE.md, rules of the house)"),
        None => Ok(()),
    }
}

/// Bans, licences and sources, where cargo-deny is installed; its advisories need a network.
fn deny(root: &Path) -> Result<()> {
    let installed = cargo(root).args(["deny", "--version"]).output().is_ok_and(|output| output.status.success());
    if installed {
        return check(root, &["deny", "check", "bans", "licenses", "sources"]);
    }
    eprintln!("cargo deny is not installed (`cargo install --locked cargo-deny`): bans, licences and sources are not checked");
    Ok(())
}

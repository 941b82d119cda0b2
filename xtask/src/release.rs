//! `cargo xtask release`: the programs as they are shipped, static, so that they start in whatever image a workspace has.

use crate::{
    build::{Programs, target},
    cargo::cargo,
    setup,
    tools::python,
};
use anyhow::{Context, Result, ensure};
use std::{
    env::{self, consts::ARCH},
    fs,
    path::{Path, PathBuf},
};

/// The most that an agent may take in a workspace's image, in bytes.
const LARGEST_AGENT: u64 = 8 << 20;
const MIB: f64 = (1 << 20) as f64;
/// A program, and cargo's profile for it, which says what is built for size and what for speed.
const DAEMON: (&str, &str) = ("drawbridge-daemon", "shipped");
const AGENT: (&str, &str) = ("drawbridge-agent", "shipped-agent");
/// A compiler and a linker for musl, from PyPI.
const TOOLS: &str = "xtask/release.requirements.txt";

/// Builds both programs and prints their sizes; too large an agent is a failure.
pub fn release(root: &Path) -> Result<Programs> {
    let triple = triple();
    setup::rust_target(&triple)?;
    let python = python::environment(root, "release", &root.join(TOOLS))?;
    let tools = python.parent().context("no folder of tools")?;
    eprintln!("building the daemon and the agent for {triple} ...");
    for (program, profile) in [DAEMON, AGENT] {
        let mut build = cargo(root);
        build.env("PATH", before(tools)?).args(["zigbuild", "--quiet", "--profile", profile, "--target", &triple]);
        build.args(["--bin", program, "-p", program]);
        ensure!(build.status().context("cannot run cargo")?.success(), "the build failed");
    }
    let programs = programs(root);
    sizes(&programs)?;
    Ok(programs)
}

/// Where [`release`] leaves them.
pub fn programs(root: &Path) -> Programs {
    let [daemon, agent] = [DAEMON, AGENT].map(|(program, profile)| target(root).join(triple()).join(profile).join(program));
    Programs { daemon, agent }
}

fn triple() -> String {
    format!("{ARCH}-unknown-linux-musl")
}

/// The path with `first` in front.
fn before(first: &Path) -> Result<std::ffi::OsString> {
    let rest = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(PathBuf::from(first)).chain(env::split_paths(&rest));
    Ok(env::join_paths(folders)?)
}

fn sizes(programs: &Programs) -> Result<()> {
    for program in [&programs.daemon, &programs.agent] {
        eprintln!("{}: {:.2} MiB", program.display(), fs::metadata(program)?.len() as f64 / MIB);
    }
    let agent = fs::metadata(&programs.agent)?.len();
    ensure!(
        agent <= LARGEST_AGENT,
        "the agent takes {agent} bytes, and {LARGEST_AGENT} are allowed: `cargo bloat --profile {}` shows what does",
        AGENT.1
    );
    Ok(())
}

//! `cargo xtask fuzz`: libFuzzer over every format that strangers send, on the stable toolchain.
//!
//! Coverage is rustc's own LLVM pass; a sanitizer would need nightly, and this code is safe Rust. What is found stays
//! in `target/fuzz`: inputs that break a promise under `artifacts`, what was learned under `corpus`.

use crate::{build, cargo::cargo};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// What cargo-fuzz passes, less the sanitizer.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0 -Ccodegen-units=1";
/// Longest input: every format is told from its neighbours in less.
const MAX_INPUT: usize = 4096;

/// Options of `fuzz`.
#[derive(Args, Debug)]
pub struct Options {
    /// One of the folders in fuzz/corpus [default: all, one after the other]
    target: Option<String>,
    /// How long each target runs
    #[arg(long, default_value_t = 60, value_name = "N")]
    seconds: u32,
}

/// Builds the targets and runs those that were asked for; the first that breaks ends it.
pub fn fuzz(root: &Path, options: &Options) -> Result<ExitCode> {
    let targets = chosen(root, options.target.as_deref())?;
    let programs = compile(root)?;
    targets.iter().try_for_each(|target| run(root, &programs, target, options.seconds))?;
    Ok(ExitCode::SUCCESS)
}

/// A target is named as its folder of seeds.
fn chosen(root: &Path, wanted: Option<&str>) -> Result<Vec<String>> {
    let folders = fs::read_dir(root.join("fuzz/corpus"))?.map(|folder| Ok(folder?.file_name().to_string_lossy().into_owned()));
    let mut all = folders.collect::<Result<Vec<_>>>()?;
    all.sort();
    match wanted {
        None => Ok(all),
        Some(name) if all.iter().any(|target| target == name) => Ok(vec![name.into()]),
        Some(name) => bail!("there is no fuzz target {name}; there are {}", all.join(", ")),
    }
}

/// The flags are for the target's code only: with `--target`, build scripts are left alone.
fn compile(root: &Path) -> Result<PathBuf> {
    let (out, host) = (work(root), host()?);
    let mut cargo = cargo(root);
    cargo.args(["build", "--locked", "--release", "--manifest-path", "fuzz/Cargo.toml", "--target", &host]);
    let built = cargo.arg("--target-dir").arg(&out).env("RUSTFLAGS", FLAGS).status().context("cannot run cargo")?;
    ensure!(built.success(), "the fuzz targets do not build (libFuzzer needs a C++ compiler)");
    Ok(out.join(host).join("release"))
}

fn run(root: &Path, programs: &Path, target: &str, seconds: u32) -> Result<()> {
    let (learned, artifacts) = (work(root).join("corpus").join(target), work(root).join("artifacts").join(target));
    fs::create_dir_all(&learned)?;
    fs::create_dir_all(&artifacts)?;
    eprintln!("fuzzing {target} for {seconds} s ...");
    let mut fuzzer = Command::new(programs.join(target));
    // The first folder is written to, the seeds are only read.
    fuzzer.arg(learned).arg(root.join("fuzz/corpus").join(target));
    fuzzer.arg(format!("-artifact_prefix={}/", artifacts.display()));
    fuzzer.args([format!("-max_total_time={seconds}"), format!("-max_len={MAX_INPUT}")]);
    fuzzer.args(["-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1", "-verbosity=0"]);
    let ended = fuzzer.status().with_context(|| format!("{target} does not start"))?;
    ensure!(ended.success(), "{target} broke a promise; the input is in {}", artifacts.display());
    Ok(())
}

fn work(root: &Path) -> PathBuf {
    build::target(root).join("fuzz")
}

fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot run rustc")?;
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(String::from).context("rustc does not name its host")
}

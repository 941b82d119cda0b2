//! `cargo xtask fuzz-api`: schemathesis calls an edge of its own as the OpenAPI document says and as it does not, with each
//! scope's token and with none.

use crate::{
    build, interrupt, setup,
    stack::{Edge, mint},
    wasm,
};
use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// What is promised.
const DOCUMENT: &str = "edge/assets/api/openapi.json";
/// Its version and those of all it needs.
const PINS: &str = "fuzz/api/requirements.txt";
/// Checks of schemathesis: an answer is one that the document has, and never a fault of ours.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
    response_schema_conformance,unsupported_method,allow_header_conformance,problem_body,no_secret_in_an_error";

/// Options of `fuzz-api`.
#[derive(Args, Debug)]
pub struct Options {
    /// Most calls made up by chance, for each operation and scope
    #[arg(long, default_value_t = 15, value_name = "N")]
    examples: u32,
    /// Where chance starts from
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { examples: 15, seed: 1 }
    }
}

/// Sets up the tool, starts an edge and calls it; fails when any answer is not as documented.
pub fn fuzz_api(root: &Path, options: &Options) -> Result<ExitCode> {
    setup::run(root)?;
    setup::require_ssh()?;
    let tool = install(root)?;
    wasm::build(root)?;
    interrupt::install()?;
    let dir = build::target(root).join("fuzz-api");
    let edge = Edge::alone(root, &dir)?;
    let callers = callers(&edge)?;
    let failed: Vec<_> = callers.iter().filter(|(name, token)| !run(root, &tool, &edge, options, (name, token))).collect();
    let names: Vec<_> = failed.iter().map(|(name, _)| *name).collect();
    ensure!(names.is_empty(), "the edge does not answer as its document says to: {}", names.join(", "));
    Ok(ExitCode::SUCCESS)
}

/// A virtual environment with exactly what is pinned; made once for each list of pins.
fn install(root: &Path) -> Result<PathBuf> {
    let (folder, pins) = (build::target(root).join("schemathesis"), root.join(PINS));
    let (tool, stamp) = (folder.join("bin/schemathesis"), folder.join("stamp"));
    let wanted = fs::read(&pins).with_context(|| format!("{PINS} cannot be read"))?;
    if tool.exists() && fs::read(&stamp).is_ok_and(|held| held == wanted) {
        return Ok(tool);
    }
    eprintln!("setup: schemathesis (once)");
    let advice = "python3 of 3.10 or newer with its venv module is needed, for example `apt-get install python3-venv`";
    let made = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder).status();
    ensure!(made.is_ok_and(|status| status.success()), "no virtual environment: {advice}");
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r"]).arg(&pins);
    let installed = pip.status().context("pip does not start")?;
    ensure!(installed.success(), "pip failed ({installed}): is the Python registry reachable?");
    fs::write(stamp, wanted)?;
    Ok(tool)
}

/// Everybody who may call, the operator last: its calls change what the others see.
fn callers(edge: &Edge) -> Result<Vec<(&'static str, String)>> {
    let operator = edge.operator();
    operator.put("/api/operator/workspaces/fuzzed", &json!({"region": "eu"}))?.ok()?;
    Ok(vec![
        ("nobody", String::new()),
        ("user", mint(&operator, "user", "fuzzer")?),
        ("agent", mint(&operator, "agent", "fuzzed")?),
        ("daemon", mint(&operator, "daemon", "fuzzer")?),
        ("operator", edge.operator_token.clone()),
    ])
}

/// Whether every answer to this caller was as it should be; what was not is printed as a curl line.
fn run(root: &Path, tool: &Path, edge: &Edge, options: &Options, (name, token): (&str, &str)) -> bool {
    eprintln!("\nschemathesis as {name} ...");
    let mut run = Command::new(tool);
    // It keeps what failed below the folder that it runs in.
    run.current_dir(build::target(root).join("fuzz-api")).env("PYTHONDONTWRITEBYTECODE", "1");
    run.env("SCHEMATHESIS_HOOKS", root.join("fuzz/api/hooks.py"));
    run.arg("run").arg(root.join(DOCUMENT)).args(["--url", &edge.url, "--checks", CHECKS]);
    // One worker: the AST module of CPython 3.11, which the tool uses, is not safe among threads.
    run.args(["--phases", "examples,coverage,fuzzing", "--mode", "all", "--continue-on-failure", "--workers", "1"]);
    run.args(["--max-examples", &options.examples.to_string(), "--seed", &options.seed.to_string()]);
    run.args(["--generation-database", "none", "--generation-with-security-parameters", "false", "--no-color"]);
    run.args(["--request-timeout", "20", "--suppress-health-check", "all", "--warnings", "off"]);
    if !token.is_empty() {
        run.arg("--header").arg(format!("Authorization: Bearer {token}"));
    }
    run.status().is_ok_and(|status| status.success())
}

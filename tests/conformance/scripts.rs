//! Cases with asyncssh, paramiko and node's ssh2: one process a case and server, JSON in, JSON out.

use crate::{Case, Named, run::run, scene::Scene};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::Path, process::Command};
use xtask::root;

/// Each client's name, its script's file, and the script, which names its cases itself.
const CLIENTS: &[(&str, &str, &str)] = &[
    ("asyncssh", "asyncssh_sessions.py", include_str!("clients/asyncssh_sessions.py")),
    ("asyncssh", "asyncssh_files.py", include_str!("clients/asyncssh_files.py")),
    ("asyncssh", "asyncssh_forwards.py", include_str!("clients/asyncssh_forwards.py")),
    ("paramiko", "paramiko_sessions.py", include_str!("clients/paramiko_sessions.py")),
    ("paramiko", "paramiko_files.py", include_str!("clients/paramiko_files.py")),
    ("ssh2", "ssh2.mjs", include_str!("clients/ssh2.mjs")),
];
/// Ends the line above each case.
const DECORATOR: &str = "@case";
/// What stands in front of a case's name, in either language.
const LEADS: &[&str] = &["async def ", "def ", "cases."];

/// All of them.
pub(crate) fn cases() -> impl Iterator<Item = Named> {
    CLIENTS.iter().flat_map(|&(client, script, text)| {
        functions(text).map(move |function| {
            let case = Script { script, function };
            (format!("{client}::{}", function.replacen("__", "::", 1)), Box::new(case) as Box<dyn Case + Send>)
        })
    })
}

/// The functions below a decorator.
fn functions(text: &'static str) -> impl Iterator<Item = &'static str> {
    let below = text.lines().zip(text.lines().skip(1)).filter(|(line, _)| line.ends_with(DECORATOR)).map(|(_, below)| below);
    below.filter_map(|line| LEADS.iter().find_map(|lead| line.strip_prefix(lead))?.split(['(', ' ']).next())
}

struct Script {
    script: &'static str,
    function: &'static str,
}

impl Case for Script {
    fn play(&self, scene: &Scene<'_>) -> Result<()> {
        let request = json!({"case": self.function, "dir": scene.dir(), "server": scene.side.describe()});
        let outcome = run(&mut self.interpreter(&scene.world.python), request.to_string().as_bytes())?;
        if outcome.status != Some(0) {
            bail!("{}", complaint(&outcome.err));
        }
        let facts: BTreeMap<String, Value> =
            serde_json::from_slice(&outcome.out).with_context(|| format!("no facts came back: {}", outcome.err))?;
        for (name, value) in facts {
            scene.note(&name, value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        Ok(())
    }
}

impl Script {
    fn interpreter(&self, python: &Path) -> Command {
        let script = root().join("tests/conformance/clients").join(self.script);
        let mut command = if script.extension().is_some_and(|is| is == "py") {
            let mut command = Command::new(python);
            command.arg("-B");
            command
        } else {
            Command::new("node")
        };
        command.arg(script);
        command
    }
}

/// What Python or Node says of an exception.
fn complaint(traceback: &str) -> &str {
    let mut lines = traceback.trim().lines().rev();
    let last = lines.clone().next().unwrap_or("it said nothing");
    if last.starts_with("Node.js") { lines.find(|line| line.contains("Error")).unwrap_or(last) } else { last }
}

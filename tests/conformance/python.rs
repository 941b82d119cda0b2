//! Cases with asyncssh and paramiko: one process a case and server, JSON in, JSON out.

use crate::{Case, Named, run::run, scene::Scene};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::{collections::BTreeMap, process::Command};
use xtask::root;

/// Each client's name, its script's file, and the script, which names its cases itself.
const CLIENTS: &[(&str, &str, &str)] = &[
    ("asyncssh", "asyncssh_sessions.py", include_str!("clients/asyncssh_sessions.py")),
    ("asyncssh", "asyncssh_files.py", include_str!("clients/asyncssh_files.py")),
    ("asyncssh", "asyncssh_forwards.py", include_str!("clients/asyncssh_forwards.py")),
    ("paramiko", "paramiko_sessions.py", include_str!("clients/paramiko_sessions.py")),
    ("paramiko", "paramiko_files.py", include_str!("clients/paramiko_files.py")),
];
/// Stands above each case.
const DECORATOR: &str = "@case";

/// All of them.
pub(crate) fn cases() -> impl Iterator<Item = Named> {
    CLIENTS.iter().flat_map(|&(client, script, text)| {
        functions(text).map(move |function| {
            let case = Python { script, function };
            (format!("{client}::{}", function.replacen("__", "::", 1)), Box::new(case) as Box<dyn Case + Send>)
        })
    })
}

/// The functions below a decorator.
fn functions(text: &'static str) -> impl Iterator<Item = &'static str> {
    let below = text.lines().zip(text.lines().skip(1)).filter(|(line, _)| *line == DECORATOR).map(|(_, below)| below);
    below.filter_map(|line| line.trim_start_matches("async ").strip_prefix("def ")?.split('(').next())
}

struct Python {
    script: &'static str,
    function: &'static str,
}

impl Case for Python {
    fn play(&self, scene: &Scene<'_>) -> Result<()> {
        let script = root().join("tests/conformance/clients").join(self.script);
        let request = json!({"case": self.function, "dir": scene.dir(), "server": scene.side.describe()});
        let mut python = Command::new(&scene.world.python);
        python.arg("-B").arg(script);
        let outcome = run(&mut python, request.to_string().as_bytes())?;
        if outcome.status != Some(0) {
            bail!("{}", last_line(&outcome.err));
        }
        let facts: BTreeMap<String, Value> =
            serde_json::from_slice(&outcome.out).with_context(|| format!("no facts came back: {}", outcome.err))?;
        for (name, value) in facts {
            scene.note(&name, value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        Ok(())
    }
}

/// What Python says of an exception.
fn last_line(traceback: &str) -> &str {
    traceback.trim().lines().next_back().unwrap_or("it said nothing")
}

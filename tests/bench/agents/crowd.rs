//! Workspaces as an operator registers them, and their agents: the agent's own code, many in this process.

use super::daemon;
use anyhow::{Context, Result, anyhow, ensure};
use clap::Parser;
use drawbridge_agent::config::{Config, Raw};
use drawbridge_shared::native::signals::Tokens;
use e2e::Stack;
use serde_json::{Value, json};
use std::{path::Path, thread};
use tokio::{runtime::Runtime, task::JoinSet};
use tokio_util::sync::CancellationToken;
use xtask::stack::mint;

/// The demo's.
const REGION: &str = "local";
/// Lines of one import.
const LINES: usize = 1000;
/// Threads that ask for tokens.
const MINTERS: usize = 4;
/// Agents that start at a time: each asks the edge several times.
const WAVE: usize = 50;

/// Workspaces with their agents' tokens.
pub(crate) struct Members {
    transport: String,
    tokens: Vec<(String, String)>,
}

/// Agents that run.
pub(crate) struct Crowd {
    runtime: Runtime,
    agents: JoinSet<Result<()>>,
    stop: CancellationToken,
}

/// The agent's own options.
#[derive(Parser)]
struct Asked {
    #[command(flatten)]
    raw: Raw,
}

impl Members {
    /// `count` new ones in the daemon's region.
    pub(crate) fn register(world: &Stack, transport: &str, count: usize) -> Result<Self> {
        let ids: Vec<_> = (0..count).map(|n| format!("{transport}-{n}")).collect();
        let line = |id: &String| json!({"type": "workspace", "workspace": id, "region": REGION}).to_string() + "\n";
        for some in ids.chunks(LINES) {
            let lines: String = some.iter().map(line).collect();
            let report: Value = world.edge.operator().post_lines("/api/operator/import", &lines)?.json()?;
            ensure!(report["failed"].as_array().is_some_and(Vec::is_empty), "not imported: {report}");
        }
        let tokens = thread::scope(|scope| {
            let parts = ids.chunks(count.div_ceil(MINTERS).max(1)).map(|ids| scope.spawn(|| tokens(world, ids)));
            let parts: Vec<_> = parts.collect();
            parts.into_iter().map(|part| part.join().map_err(|_| anyhow!("no tokens"))?).collect::<Result<Vec<_>>>()
        })?;
        Ok(Self { transport: transport.into(), tokens: tokens.concat() })
    }
}

fn tokens(world: &Stack, ids: &[String]) -> Result<Vec<(String, String)>> {
    let api = world.edge.operator();
    ids.iter().map(|id| Ok((id.clone(), mint(&api, "agent", id)?))).collect()
}

impl Crowd {
    /// Starts the agents of `members`, and waits until all are registered.
    pub(crate) fn gather(world: &Stack, members: &Members) -> Result<Self> {
        let mut crowd = Self { runtime: Runtime::new()?, agents: JoinSet::new(), stop: CancellationToken::new() };
        for wave in members.tokens.chunks(WAVE) {
            for (id, token) in wave {
                let config = config(world, &members.transport, id, token)?;
                crowd.join(config);
            }
            daemon::until(world, world.workspaces.len() + crowd.agents.len()).with_context(|| crowd.trouble())?;
        }
        Ok(crowd)
    }

    fn join(&mut self, config: Config) {
        let stop = self.stop.clone();
        self.agents.spawn_on(
            async move { Ok(drawbridge_agent::run(config, Tokens { stop, ..Tokens::default() }).await?) },
            self.runtime.handle(),
        );
    }

    /// What the first agent that has ended says.
    fn trouble(&mut self) -> String {
        match self.agents.try_join_next() {
            Some(Ok(Err(fault))) => format!("an agent ended: {fault:#}"),
            ended => format!("not all agents came: {ended:?}"),
        }
    }

    /// Ends them.
    pub(crate) fn leave(mut self) {
        self.stop.cancel();
        self.runtime.block_on(async { while self.agents.join_next().await.is_some() {} });
    }
}

fn config(world: &Stack, transport: &str, id: &str, token: &str) -> Result<Config> {
    let path = |path: &Path| path.display().to_string();
    let (trust, state) = (path(&world.dir().join("trust")), path(&world.dir().join("crowd").join(id)));
    let asked = Asked::try_parse_from([
        "agent",
        "--edge",
        &world.edge.url,
        "--poll-seconds",
        "3600",
        "--transport",
        transport,
        "--trust",
        &trust,
        "--state-dir",
        &state,
    ])?;
    asked.raw.check(Some(token.into())).map_err(|faults| anyhow!("{faults}"))
}

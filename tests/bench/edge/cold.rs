//! Cold starts, each in a process of its own: from the edge, from disk, and how much memory that takes.

use crate::{million::Million, origin, program};
use anyhow::{Context, Result, ensure};
use drawbridge_daemon::snapshot::{Keeper, Pace, Store};
use drawbridge_shared::{
    native::{
        edge_client::EdgeClient,
        state_dir::StateDir,
        trust::{Pinned, Trust},
    },
    token::{Scope, Token},
};
use e2e::cost::resident;
use e2e::figures::{Figure, Goal};
use serde::{Deserialize, Serialize};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// The argument that makes this program a child.
const COLD: &str = "--cold-start";
/// Starts of each kind, in turn.
const STARTS: usize = 5;

/// What a child is to do: serve from a folder, and from the edge if there is nothing.
pub(crate) struct Cold {
    folder: PathBuf,
    edge: String,
}

/// What a child tells.
#[derive(Serialize, Deserialize)]
struct Told {
    seconds: f64,
    /// Until it has ended, with all that was fetched on disk.
    saved: f64,
    bytes: f64,
}

/// Whether this process is a child.
pub(crate) fn asked() -> Option<Cold> {
    let mut arguments = env::args().skip_while(|argument| argument != COLD).skip(1);
    Some(Cold { folder: arguments.next()?.into(), edge: arguments.next()? })
}

/// Starts of daemons with all keys.
pub(crate) fn measure(million: &Million, folder: &Path) -> Result<Vec<Figure>> {
    let edge = origin::serve(million)?;
    fs::write(folder.join("trust"), million.edge.public().to_line())?;
    let (mut fetched, mut saved, mut loaded, mut bytes) = (vec![], vec![], vec![], vec![]);
    for _ in 0..STARTS {
        let state = folder.join("state");
        if state.exists() {
            fs::remove_dir_all(&state)?;
        }
        let told = child(folder, &edge)?;
        fetched.push(told.seconds);
        saved.push(told.saved);
        let told = child(folder, "http://127.0.0.1:1")?;
        loaded.push(told.seconds);
        bytes.push(told.bytes / million.keys as f64);
    }
    let what = |from: &str| format!("cold start at {} keys, {from}", million.keys);
    Ok(vec![
        Figure::new(what("from disk, until it serves"), "s", loaded, Goal::Median(2.0))?,
        Figure::new(what("fetched on loopback, until it serves"), "s", fetched, Goal::None)?,
        Figure::new(what("fetched, until all of it is on disk"), "s", saved, Goal::None)?,
        Figure::new("memory a key, a tenth as many workspaces of three members included", "B", bytes, Goal::Median(70.0))?,
    ])
}

fn child(folder: &Path, edge: &str) -> Result<Told> {
    let output = Command::new(program()?).arg(COLD).arg(folder).arg(edge).output()?;
    ensure!(output.status.success(), "a cold start failed: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("a cold start told nothing")
}

impl Cold {
    /// Starts as a daemon does, and tells how long that took.
    pub(crate) fn run(&self) -> Result<()> {
        let (begun, runtime) = (Instant::now(), Runtime::new()?);
        let edge = EdgeClient::new(self.edge.parse()?, Token::mint(Scope::Daemon, &[1; 32]))?;
        // Every daemon has a runtime and a client, however few keys it knows.
        let before = resident(std::process::id())? as f64;
        let told = runtime.block_on(async {
            let (keeper, snapshots) = self.keeper(edge)?;
            let (mut views, stop) = (snapshots.watch(), CancellationToken::new());
            let runs = async {
                views.wait_for(|view| view.issued_at().is_some()).await?;
                let told = Told {
                    seconds: begun.elapsed().as_secs_f64(),
                    saved: 0.0,
                    bytes: resident(std::process::id())? as f64 - before,
                };
                stop.cancel();
                Ok(told)
            };
            // Stopping waits for what is being saved.
            tokio::join!(runs, keeper.run(stop.clone())).0 as Result<Told>
        })?;
        let told = Told { saved: begun.elapsed().as_secs_f64(), ..told };
        println!("{}", serde_json::to_string(&told)?);
        Ok(())
    }

    fn keeper(&self, edge: EdgeClient) -> Result<(Keeper, drawbridge_daemon::snapshot::Snapshots)> {
        let state = StateDir::open(&self.folder.join("state"))?;
        let trust = Trust::open(Pinned::read(self.folder.join("trust")).map_err(anyhow::Error::msg)?, &state);
        Ok(Keeper::open(edge, trust, Store::open(&state)?, Pace { poll: Duration::from_secs(1), grace: Duration::ZERO }))
    }
}

//! The real Worker under workerd: CPU of a change and of a GET, and how long a DELETE takes to reach a daemon.
//!
//! Its state is smaller than the native one where that changes nothing: every shard is there, so the manifest is as long as at
//! a million keys, and the shard that is changed is as long as it is there.

use anyhow::{Context, Result, bail, ensure};
use drawbridge_daemon::{
    keyset::KeySet,
    snapshot::{Keeper, Pace, Store},
};
use drawbridge_shared::{
    fingerprint::Fingerprint,
    native::{
        clock,
        edge_client::EdgeClient,
        identity::Identity,
        state_dir::StateDir,
        trust::{Pinned, Trust},
    },
};
use e2e::figures::{Figure, Goal};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    fs,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::{runtime::Runtime, sync::watch};
use tokio_util::sync::CancellationToken;
use xtask::{
    api::Api,
    setup,
    stack::{self, Edge},
    wasm,
};

/// Keys of the shard that is changed: a 256th part of a million.
const HOT_KEYS: usize = 3906;
/// Its number.
const HOT: u8 = 7;
/// Keys elsewhere: enough that no shard is empty.
const OTHER_KEYS: usize = 2500;
/// Workspaces, for the same reason.
const WORKSPACES: usize = 2500;
/// Keys of one user.
const KEYS_OF_USER: usize = 90;
/// Keys that are deleted, one after the other.
const DELETES: usize = 240;
/// Deletes of one round.
const BATCH: usize = 20;
/// GETs of one round: the kernel counts CPU in hundredths of a second.
const GETS: usize = 100;
/// Lines of one import.
const LINES: usize = 1000;
/// A new view is there within this time, or the run has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// KV has caught up with all that was imported within this time.
const SETTLED: Duration = Duration::from_secs(180);
/// CPU seconds in a second of a workerd that has nothing to do.
const IDLE: f64 = 0.03;

/// Figures of the Worker in `root`.
pub(crate) fn measure(root: &Path) -> Result<Vec<Figure>> {
    setup::run(root)?;
    let sizes = wasm::build(root)?;
    let folder = tempfile::tempdir()?;
    let edge = Edge::alone(root, &folder.path().join("stack"))?;
    let keys = fill(&edge)?;
    let mut figures = vec![Figure::new("Worker, gzip", "KB", vec![sizes.gzip as f64 / 1000.0], Goal::Median(400.0))?];
    figures.extend(Follower::start(&edge, folder.path())?.measure(&edge, keys)?);
    Ok(figures)
}

/// A key of the changed shard, and its user's token.
struct Key {
    fingerprint: Fingerprint,
    token: String,
}

/// Imports all, and returns the keys that will be deleted.
fn fill(edge: &Edge) -> Result<Vec<Key>> {
    eprintln!("finding {HOT_KEYS} keys of one shard ...");
    let keys: Vec<_> = hot_keys().chain(other_keys()).collect();
    eprintln!("importing ...");
    let key_lines = keys.iter().enumerate().map(|(n, (_, line))| json!({"type": "key", "user": user(n), "publicKey": line}));
    let workspaces =
        (0..WORKSPACES).map(|n| json!({"type": "workspace", "workspace": (700_000 + n).to_string(), "region": "eu"}));
    let lines: Vec<_> = key_lines.chain(workspaces).map(|line| line.to_string() + "\n").collect();
    for some in lines.chunks(LINES) {
        import(edge, &some.concat())?;
    }
    // Of many users: each token has a rate of its own.
    let chosen = keys.iter().enumerate().take(HOT_KEYS).step_by(HOT_KEYS / DELETES).take(DELETES);
    chosen.map(|(n, (fingerprint, _))| key(edge, n, *fingerprint)).collect()
}

fn import(edge: &Edge, lines: &str) -> Result<()> {
    let answer = edge.operator().post_lines("/api/operator/import", lines)?;
    let report: Value = answer.json()?;
    ensure!(report["failed"].as_array().is_some_and(Vec::is_empty), "not imported: {report}");
    Ok(())
}

fn key(edge: &Edge, n: usize, fingerprint: Fingerprint) -> Result<Key> {
    Ok(Key { fingerprint, token: stack::mint(&edge.operator(), "user", &user(n))? })
}

fn user(n: usize) -> String {
    format!("user-{}", n / KEYS_OF_USER)
}

fn identity(kind: &str, n: usize) -> (Fingerprint, String) {
    let public = Identity::from_seed(&Sha256::digest(format!("{kind} {n}")).into()).public();
    (Fingerprint::of(&public.ssh()), public.to_line())
}

fn hot_keys() -> impl Iterator<Item = (Fingerprint, String)> {
    (0..).map(|n| identity("hot", n)).filter(|(fingerprint, _)| fingerprint.0.first() == Some(&HOT)).take(HOT_KEYS)
}

fn other_keys() -> impl Iterator<Item = (Fingerprint, String)> {
    (0..OTHER_KEYS).map(|n| identity("other", n))
}

/// A daemon's keeper that follows the edge.
struct Follower {
    runtime: Runtime,
    stop: CancellationToken,
    views: watch::Receiver<Arc<KeySet>>,
}

impl Follower {
    fn start(edge: &Edge, folder: &Path) -> Result<Self> {
        let state = StateDir::open(&folder.join("state"))?;
        fs::write(folder.join("pinned"), &edge.trust_key)?;
        let trust = Trust::open(Pinned::read(folder.join("pinned")).map_err(anyhow::Error::msg)?, &state);
        let token = stack::mint(&edge.operator(), "daemon", "bench")?.parse()?;
        let client = EdgeClient::new(edge.url.parse()?, token)?;
        let (keeper, snapshots) =
            Keeper::open(client, trust, Store::open(&state)?, Pace { poll: Duration::from_secs(2), grace: Duration::ZERO });
        let (runtime, stop) = (Runtime::new()?, CancellationToken::new());
        let runs = keeper.run(stop.clone());
        thread::Builder::new().spawn({
            let handle = runtime.handle().clone();
            move || handle.block_on(runs)
        })?;
        Ok(Self { runtime, stop, views: snapshots.watch() })
    }

    fn measure(mut self, edge: &Edge, keys: Vec<Key>) -> Result<Vec<Figure>> {
        let last = keys.last().context("no keys")?.fingerprint;
        self.until(|view| view.users(&last, clock::now()).next().is_some())?;
        settle(edge)?;
        let (mut acknowledged, mut asked, mut change) = (vec![], vec![], vec![]);
        let (mut get, mut beyond) = (vec![], vec![]);
        for batch in keys.chunks(BATCH) {
            let begun = cpu(edge)?;
            for key in batch {
                let (sent, ack, seen) = self.delete(edge, key)?;
                acknowledged.push((seen.saturating_duration_since(ack)).as_secs_f64() * 1e3);
                asked.push((seen - sent).as_secs_f64() * 1e3);
            }
            change.push((cpu(edge)? - begun) * 1e3 / batch.len() as f64);
            settle(edge)?;
            let authorised = gets(edge, batch, "/api/ssh/keys")?;
            get.push(authorised);
            beyond.push(authorised - gets(edge, batch, "/healthz")?);
        }
        self.stop.cancel();
        Ok(vec![
            Figure::new("DELETE acknowledged -> the daemon's new view (workerd, feed)", "ms", acknowledged, Goal::P99(150.0))?,
            Figure::new("DELETE sent -> the daemon's new view (workerd, feed)", "ms", asked, Goal::None)?,
            Figure::new("one change in workerd: CPU of the whole process, dev proxy and KV included", "ms", change, Goal::None)?,
            Figure::new("an authorised GET in workerd: CPU of the whole process, dev proxy included", "ms", get, Goal::None)?,
            Figure::new("  of it: what GET /healthz does not take", "ms", beyond, Goal::Median(2.0))?,
        ])
    }

    /// When it was sent, acknowledged, and seen by the daemon.
    fn delete(&mut self, edge: &Edge, key: &Key) -> Result<(Instant, Instant, Instant)> {
        let (mut views, gone) = (self.views.clone(), key.fingerprint);
        let seen = self.runtime.spawn(async move {
            views.wait_for(|view| view.users(&gone, clock::now()).next().is_none()).await.map(|_| Instant::now())
        });
        let sent = Instant::now();
        let api = Api::new(&edge.url, &key.token);
        api.delete("/api/ssh/keys", &json!({"publicKeyFingerprint": key.fingerprint.to_string()}))?.ok()?;
        let acknowledged = Instant::now();
        let seen = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, seen).await })???;
        Ok((sent, acknowledged, seen))
    }

    fn until(&mut self, condition: impl Fn(&KeySet) -> bool) -> Result<()> {
        let Self { runtime, views, .. } = self;
        let waited =
            async { tokio::time::timeout(PATIENCE, views.wait_for(|view| condition(view))).await.map(|view| view.map(drop)) };
        Ok(runtime.block_on(waited)??)
    }
}

/// Waits until KV has caught up: a second in which workerd does next to nothing.
fn settle(edge: &Edge) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < SETTLED {
        let before = cpu(edge)?;
        thread::sleep(Duration::from_secs(1));
        if cpu(edge)? - before < IDLE {
            return Ok(());
        }
    }
    bail!("workerd is busy for {} s without being asked", SETTLED.as_secs())
}

/// CPU milliseconds of a GET of `path`, each with another user's token.
fn gets(edge: &Edge, batch: &[Key], path: &str) -> Result<f64> {
    let begun = cpu(edge)?;
    for key in batch.iter().cycle().take(GETS) {
        Api::new(&edge.url, &key.token).get(path)?.ok()?;
    }
    Ok((cpu(edge)? - begun) * 1e3 / GETS as f64)
}

/// CPU seconds of workerd.
fn cpu(edge: &Edge) -> Result<f64> {
    let group = edge.process.pid().to_string();
    let mut ticks = 0.0;
    for entry in fs::read_dir("/proc")?.flatten() {
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((head, fields)) = stat.rsplit_once(") ") else { continue };
        let fields: Vec<_> = fields.split(' ').collect();
        if head.ends_with("(workerd") && fields.get(2) == Some(&group.as_str()) {
            ticks += fields.get(11..13).unwrap_or_default().iter().filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>();
        }
    }
    ensure!(ticks > 0.0, "workerd is not to be found");
    Ok(ticks / rustix::param::clock_ticks_per_second() as f64)
}

//! A daemon's own keeper of snapshots, without the daemon around it: what a login would be decided by.

use crate::aside::{Aside, runtime};
use anyhow::{Result, anyhow, bail};
use drawbridge_daemon::{
    keyset::KeySet,
    snapshot::{Keeper, Pace, Snapshots, Store},
};
use drawbridge_shared::{
    fingerprint::Fingerprint,
    id::UserId,
    native::{
        clock,
        edge_client::EdgeClient,
        state_dir::StateDir,
        trust::{Pinned, Trust},
    },
    snapshot::key_shard::UserHash,
};
use std::{fs, time::Duration};
use tempfile::TempDir;
use tokio::time;
use xtask::stack::{Edge, mint};

/// Follows the edge until it is dropped.
pub struct Follower {
    snapshots: Snapshots,
    _runs: Aside,
    _folder: TempDir,
}

impl Follower {
    /// Starts from nothing, with a token of its own; where nothing is pushed it asks every `poll`.
    pub fn start(edge: &Edge, name: &str, poll: Duration) -> Result<Self> {
        let token = mint(&edge.operator(), "daemon", name)?.parse()?;
        let folder = tempfile::tempdir()?;
        let (state, pinned) = (StateDir::open(&folder.path().join("state"))?, folder.path().join("trust"));
        fs::write(&pinned, &edge.trust_key)?;
        let trust = Trust::open(Pinned::read(pinned).map_err(|fault| anyhow!(fault))?, &state);
        let client = EdgeClient::new(format!("{}/", edge.url).parse()?, token)?;
        let (keeper, snapshots) = Keeper::open(client, trust, Store::open(&state)?, Pace { poll, grace: Duration::ZERO });
        let runs = Aside::start(name, runtime()?, |stop| keeper.run(stop))?;
        Ok(Self { snapshots, _runs: runs, _folder: folder })
    }

    /// Waits until the view is as wanted, for `bound` at most.
    pub fn until(&self, bound: Duration, what: &str, ready: impl Fn(&KeySet) -> bool) -> Result<()> {
        let mut view = self.snapshots.watch();
        let wait = async { time::timeout(bound, view.wait_for(|view| ready(view))).await.map(drop) };
        if runtime()?.block_on(wait).is_err() {
            bail!("the view is not within {} s: {what}", bound.as_secs());
        }
        Ok(())
    }

    /// The number of the view.
    pub fn seq(&self) -> u64 {
        self.snapshots.current().seq().0
    }
}

/// Whether `view` lets `user` log in with this key.
pub fn lets_in(view: &KeySet, user: &UserId, key: &Fingerprint) -> bool {
    view.users(key, clock::now()).any(|held| held == UserHash::of(user))
}

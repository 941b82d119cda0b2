//! A Ledger that lost its rows gets them back from KV, in steps that are bounded and may be cut anywhere.
//!
//! First every fact is read, folder by folder; then every shard is built from them, one by one; last a manifest is signed
//! whose number lies far above the one in KV, which may be some publishes old. Until then nothing is answered from here.

use super::{
    Ledger,
    change::{Change, decode},
    manifest,
};
use crate::{
    facts::{KeyFact, TokenFact},
    limits::{BLOB_GRACE, REBUILD_LEAP, REBUILD_SHARDS},
    names::{self, Listed},
    refusal::Refusal,
    rows::{Changes, Rows, RowsFault},
};
use drawbridge_shared::{
    id::{SnapshotSeq, WorkspaceId},
    snapshot::{Manifest, key_shard, workspace_shard},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// What KV has to be asked for, in this order: whom tokens belong to comes before all else.
const FOLDERS: [&str; 6] = [names::TOKENS, names::REGIONS, names::DAEMONS, names::WORKSPACES, names::MEMBERS, names::KEYS];
/// Shards of keys and of workspaces, numbered one after the other.
const SHARDS: usize = 512;

/// How far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// KV is not believed before then.
    settled: Timestamp,
    /// Folders that are read.
    folders: usize,
    /// KV's own word for the next page of the folder.
    cursor: Option<String>,
    /// Shards that are built.
    shards: usize,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing before that time.
    Wait(Timestamp),
    /// Reading a page of KV: the folder, and where to go on.
    Read(&'static str, Option<String>),
    /// Building shards.
    Build,
}

impl<R: Rows> Ledger<R> {
    /// Whether this Ledger has begun its life; if not, KV may know of an earlier one.
    pub fn is_born(&self) -> Result<bool, RowsFault> {
        Ok(self.rows.get(names::BORN)?.is_some())
    }

    /// Begins a life by what KV has: the first page of its names, and the last `manifest`. Only where that is nothing at all, and
    /// nothing may follow, there was no Ledger before: whoever is born is never rebuilt. What KV has can be believed from `settled`
    /// on.
    pub fn begin(
        &self,
        (listed, next): &Listed,
        manifest: Option<&[u8]>,
        settled: Timestamp,
        now: Timestamp,
    ) -> Result<(), RowsFault> {
        // Two callers may have looked at once: what the other one found, or began, stands.
        if self.progress()?.is_some() || self.is_born()? {
            return Ok(());
        }
        if listed.is_empty() && next.is_none() && manifest.is_none() {
            return self.rows.commit(Changes::from([(names::BORN.into(), Some(Vec::new()))]));
        }
        self.begin_rebuild(manifest, settled, now)
    }

    fn begin_rebuild(&self, manifest: Option<&[u8]>, settled: Timestamp, now: Timestamp) -> Result<(), RowsFault> {
        let held = manifest.map(manifest::parse).transpose()?;
        let last = held.as_ref().map_or(0, |held| held.seq.0);
        let seq = SnapshotSeq(last.saturating_add(REBUILD_LEAP));
        let mut changes = Changes::new();
        let retired = held.iter().flat_map(|held| &held.shards);
        changes.extend(retired.map(|shard| (names::garbage(now.after(BLOB_GRACE), shard.sha256), Some(Vec::new()))));
        changes.insert(names::MANIFEST.into(), Some(written(&Manifest::new(seq, now, Vec::new()))?));
        changes.insert(names::REBUILD.into(), Some(written(&Progress::until(settled))?));
        self.rows.commit(changes)
    }

    /// What is to be done next; `None` where nothing is rebuilt.
    pub fn rebuild_step(&self, now: Timestamp) -> Result<Option<Step>, RowsFault> {
        let Some(progress) = self.progress()? else { return Ok(None) };
        if now < progress.settled {
            return Ok(Some(Step::Wait(progress.settled)));
        }
        Ok(Some(progress.step()))
    }

    /// Takes the page that a step `asked` for; `next` is where KV goes on, `None` at the folder's end. Two callers may have asked for
    /// one page at once: the second does not go on behind it.
    pub fn take_page(&self, asked: &Step, page: Vec<(String, Vec<u8>)>, next: Option<String>) -> Result<(), RowsFault> {
        let Some(mut progress) = self.progress()? else { return Ok(()) };
        if progress.step() != *asked {
            return Ok(());
        }
        let mut changes = Changes::new();
        for (name, value) in page {
            index(&name, &value).into_iter().for_each(|own| drop(changes.insert(own, Some(Vec::new()))));
            changes.insert(name, Some(value));
        }
        if next.is_none() {
            progress.folders = progress.folders.saturating_add(1);
        }
        progress.cursor = next;
        changes.insert(names::REBUILD.into(), Some(written(&progress)?));
        self.rows.commit(changes)
    }

    /// Builds some shards; with the last one this Ledger is whole.
    pub fn build_shards(&self, now: Timestamp) -> Result<(), Refusal> {
        let Some(mut progress) = self.progress()? else { return Ok(()) };
        let (secrets, mut change) = (self.secrets()?, Change::new(&self.rows, now));
        let until = progress.shards.saturating_add(REBUILD_SHARDS).min(SHARDS);
        for number in progress.shards..until {
            touch(&mut change, number)?;
        }
        progress.shards = until;
        let done = until >= SHARDS;
        if done {
            change.touch_daemons();
            change.republish();
            change.mark(names::BORN.into());
        }
        change.own(names::REBUILD, if done { None } else { Some(written(&progress)?) });
        self.finish(change, secrets).map(drop)
    }

    fn progress(&self) -> Result<Option<Progress>, RowsFault> {
        self.rows.get(names::REBUILD)?.map(|row| decode(names::REBUILD, &row)).transpose()
    }
}

impl Progress {
    const fn until(settled: Timestamp) -> Self {
        Self { settled, folders: 0, cursor: None, shards: 0 }
    }

    /// What is next, once KV can be believed.
    fn step(&self) -> Step {
        FOLDERS.get(self.folders).map_or(Step::Build, |folder| Step::Read(folder, self.cursor.clone()))
    }
}

fn written(row: &impl Serialize) -> Result<Vec<u8>, RowsFault> {
    serde_json::to_vec(row).map_err(|fault| RowsFault(fault.to_string()))
}

/// The Ledger's own rows that go with a fact: indexes, and what each shard is made of.
fn index(name: &str, value: &[u8]) -> Option<String> {
    let (folder, _) = name.split_once('/')?;
    match folder {
        "t" => {
            let fact: TokenFact = decode(name, value).ok()?;
            Some(names::tokens_of(fact.scope, &fact.subject) + names::tail(name))
        }
        "w" => {
            let id: WorkspaceId = names::tail(name).parse().ok()?;
            Some(names::building(usize::from(workspace_shard::shard_of(&id)).saturating_add(256)) + name)
        }
        "m" => {
            let (workspace, user) = names::member_of(name)?;
            Some(names::workspaces_of(&user) + workspace.as_str())
        }
        "k" => Some(names::building(usize::from(key_shard::shard_of(&names::fingerprint_of(name)?))) + name),
        _ => None,
    }
}

/// Touches all that stands in one shard; its building marks have served.
fn touch<R: Rows>(change: &mut Change<'_, R>, number: usize) -> Result<(), RowsFault> {
    let folder = names::building(number);
    for (mark, _) in change.scan(&folder, "", usize::MAX)? {
        let name = mark.strip_prefix(&folder).unwrap_or_default();
        if let Some((user, fingerprint)) = names::key_of(name) {
            let fact: Option<KeyFact> = change.fact(name)?;
            fact.iter().for_each(|fact| change.touch_key(&fingerprint, &user, fact.expires_at));
        } else if let Ok(id) = names::tail(name).parse() {
            change.touch_workspace(&id);
        }
        change.unmark(mark);
    }
    Ok(())
}

#[cfg(test)]
mod tests;

//! One command's changes: facts, the journal entries that carry them to KV, and the shards they touch.

use super::{Effects, publish};
use crate::{
    names::{self, Stage},
    refusal::Refusal,
    rows::{Draft, Rows, RowsFault},
    secrets::Secrets,
};
use drawbridge_shared::{
    fingerprint::Fingerprint,
    id::{UserId, WorkspaceId},
    snapshot::{
        key_shard::{self, ROW},
        workspace_shard,
    },
    time::Timestamp,
    token::TokenHash,
};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that happens together.
#[derive(Debug)]
pub(super) struct Change<'a, R> {
    draft: Draft<'a, R>,
    now: Timestamp,
    touched: Touched,
    published: Option<String>,
    revoked: Vec<TokenHash>,
    counted: Vec<(WorkspaceId, usize)>,
}

/// What must be published.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Key rows by shard; `true` puts, `false` removes.
    pub(super) keys: BTreeMap<u8, Vec<([u8; ROW], bool)>>,
    /// Workspaces by shard.
    pub(super) workspaces: BTreeMap<u8, BTreeSet<WorkspaceId>>,
    /// The directory.
    pub(super) daemons: bool,
    /// A new manifest even if no shard changes.
    pub(super) anyway: bool,
}

impl<'a, R: Rows> Change<'a, R> {
    pub(super) fn new(rows: &'a R, now: Timestamp) -> Self {
        Self {
            draft: Draft::new(rows),
            now,
            touched: Touched::default(),
            published: None,
            revoked: Vec::new(),
            counted: Vec::new(),
        }
    }

    pub(super) const fn now(&self) -> Timestamp {
        self.now
    }

    pub(super) fn get(&self, name: &str) -> Result<Option<Vec<u8>>, RowsFault> {
        self.draft.get(name)
    }

    pub(super) fn scan(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<(String, Vec<u8>)>, RowsFault> {
        self.draft.scan(prefix, after, limit)
    }

    /// How many rows start with `prefix`, counted up to `limit`.
    pub(super) fn count(&self, prefix: &str, limit: usize) -> Result<usize, RowsFault> {
        Ok(self.scan(prefix, "", limit)?.len())
    }

    pub(super) fn fact<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, RowsFault> {
        self.get(name)?.map(|bytes| decode(name, &bytes)).transpose()
    }

    /// Sets a row that KV has too.
    pub(super) fn put(&mut self, name: String, value: Vec<u8>) {
        self.enter(&name, true);
        self.draft.put(name, value);
    }

    pub(super) fn put_fact<T: Serialize>(&mut self, name: String, fact: &T) -> Result<(), RowsFault> {
        let value = serde_json::to_vec(fact).map_err(|fault| RowsFault(fault.to_string()))?;
        self.put(name, value);
        Ok(())
    }

    /// Removes a row that KV has too.
    pub(super) fn delete(&mut self, name: String) {
        self.enter(&name, false);
        self.draft.delete(name);
    }

    /// Into the journal, in one place of it only.
    fn enter(&mut self, name: &str, present: bool) {
        self.draft.delete(names::journal(Stage::of(name, !present), name));
        self.draft.put(names::journal(Stage::of(name, present), name), Vec::new());
    }

    /// Sets a row of the Ledger's own.
    pub(super) fn mark(&mut self, name: String) {
        self.draft.put(name, Vec::new());
    }

    /// Sets a row of the Ledger's own to a number.
    pub(super) fn note(&mut self, name: String, number: u64) {
        self.draft.put(name, number.to_string().into_bytes());
    }

    /// The number in a row of the Ledger's own; 0 where there is none.
    pub(super) fn number(&self, name: &str) -> Result<u64, RowsFault> {
        Ok(self.get(name)?.as_deref().and_then(number).unwrap_or_default())
    }

    /// Sets or removes a row of the Ledger's own.
    pub(super) fn own(&mut self, name: &str, value: Option<Vec<u8>>) {
        match value {
            Some(value) => self.draft.put(name.to_owned(), value),
            None => self.draft.delete(name.to_owned()),
        }
    }

    /// Removes a row of the Ledger's own.
    pub(super) fn unmark(&mut self, name: String) {
        self.draft.delete(name);
    }

    /// The key is there, until its end.
    pub(super) fn touch_key(&mut self, fingerprint: &Fingerprint, user: &UserId, expires_at: Option<Timestamp>) {
        self.edit_key(fingerprint, key_shard::row(fingerprint, user, expires_at), true);
    }

    /// The key is gone.
    pub(super) fn drop_key(&mut self, fingerprint: &Fingerprint, user: &UserId) {
        self.edit_key(fingerprint, key_shard::row(fingerprint, user, None), false);
    }

    fn edit_key(&mut self, fingerprint: &Fingerprint, row: [u8; ROW], present: bool) {
        self.touched.keys.entry(key_shard::shard_of(fingerprint)).or_default().push((row, present));
    }

    pub(super) fn touch_workspace(&mut self, id: &WorkspaceId) {
        self.touched.workspaces.entry(workspace_shard::shard_of(id)).or_default().insert(id.clone());
    }

    /// How many keys the members of a workspace have, if it was counted.
    pub(super) fn counted(&self, id: &WorkspaceId) -> Option<usize> {
        self.counted.iter().find(|(counted, _)| counted == id).map(|(_, keys)| *keys)
    }

    /// They are so many.
    pub(super) fn remember_count(&mut self, id: WorkspaceId, keys: usize) {
        self.counted.push((id, keys));
    }

    /// They become more.
    pub(super) fn count_more(&mut self, id: &WorkspaceId, keys: usize) {
        if let Some((_, held)) = self.counted.iter_mut().find(|(counted, _)| counted == id) {
            *held = held.saturating_add(keys);
        }
    }

    pub(super) const fn touch_daemons(&mut self) {
        self.touched.daemons = true;
    }

    pub(super) const fn republish(&mut self) {
        self.touched.anyway = true;
    }

    pub(super) fn revoked(&mut self, token: TokenHash) {
        self.revoked.push(token);
    }

    /// Publishes what was touched. Whoever asks for it, the new manifest goes to all who follow.
    pub(super) fn publish(&mut self, secrets: &Secrets) -> Result<(), Refusal> {
        let touched = std::mem::take(&mut self.touched);
        self.published = publish::publish(self, touched, secrets)?.or(self.published.take());
        Ok(())
    }

    /// Publishes and commits.
    pub(super) fn finish(mut self, secrets: &Secrets) -> Result<Effects, Refusal> {
        self.publish(secrets)?;
        let changed = self.draft.commit()?;
        Ok(Effects { changed, published: self.published, revoked: self.revoked })
    }
}

/// Reads what [`Change::note`] wrote.
pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// Reads a row's JSON.
pub(super) fn decode<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, RowsFault> {
    serde_json::from_slice(bytes).map_err(|fault| RowsFault(format!("row {name}: {fault}")))
}

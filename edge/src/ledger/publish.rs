//! From changed facts to a new manifest: only touched shards are built again, from their last bytes.

use super::{
    change::{Change, Touched},
    daemons, manifest, workspaces,
};
use crate::{
    limits::{BLOB_GRACE, MAX_ROW},
    names::{self, Stage},
    refusal::Refusal,
    rows::{Rows, RowsFault},
    secrets::Secrets,
};
use drawbridge_shared::{
    id::{SnapshotSeq, WorkspaceId},
    snapshot::{
        Family, Manifest, ShardRef, directory,
        key_shard::{self, ROW},
        workspace_shard,
    },
};
use std::collections::{BTreeMap, BTreeSet};

type Shards = BTreeMap<(Family, u8), ShardRef>;

/// Bytes of a key row that name it: fingerprint and user.
const KEY_ROW_NAME: usize = ROW - 8;

/// Writes the touched shards and, if anything changed, the next manifest, and returns its text.
pub(super) fn publish<R: Rows>(
    change: &mut Change<'_, R>,
    touched: Touched,
    secrets: &Secrets,
) -> Result<Option<String>, Refusal> {
    if touched.is_empty() {
        return Ok(None);
    }
    let held = manifest::current(change)?;
    let mut last = Shards::new();
    last.extend(held.iter().flat_map(|held| &held.shards).map(|shard| ((shard.family, shard.id), *shard)));
    let next = rebuild(change, &last, &touched)?;
    if held.is_some() && next == last && !touched.anyway {
        return Ok(None);
    }
    retire(change, &last, &next)?;
    let seq = SnapshotSeq(held.as_ref().map_or(0, |held| held.seq.0).saturating_add(1));
    let issued = held.map_or(change.now(), |held| held.issued_at.max(change.now()));
    let manifest = Manifest::new(seq, issued, next.into_values().collect()).announcing(secrets.signers());
    let text = manifest.sign(secrets.signing())?;
    change.put(names::MANIFEST.into(), text.clone().into_bytes());
    manifest::make_room(change)?;
    Ok(Some(text))
}

impl Touched {
    fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.workspaces.is_empty() && !self.daemons && !self.anyway
    }
}

fn rebuild<R: Rows>(change: &mut Change<'_, R>, last: &Shards, touched: &Touched) -> Result<Shards, Refusal> {
    let mut next = last.clone();
    for (id, edits) in &touched.keys {
        let bytes = edit_keys(&bytes_of(change, last, Family::Keys, *id)?, edits);
        replace(change, &mut next, Family::Keys, *id, bytes)?;
    }
    for (id, changed) in &touched.workspaces {
        let bytes = edit_workspaces(change, &bytes_of(change, last, Family::Workspaces, *id)?, changed)?;
        replace(change, &mut next, Family::Workspaces, *id, bytes)?;
    }
    if touched.daemons {
        let daemons = daemons::entries(change)?;
        let bytes = (!daemons.is_empty()).then(|| directory::build(daemons));
        replace(change, &mut next, Family::Daemons, 0, bytes)?;
    }
    Ok(next)
}

/// The shard as it is; empty when it is not listed.
fn bytes_of<R: Rows>(change: &Change<'_, R>, shards: &Shards, family: Family, id: u8) -> Result<Vec<u8>, RowsFault> {
    let Some(shard) = shards.get(&(family, id)) else { return Ok(Vec::new()) };
    change.get(&names::blob(shard.sha256))?.ok_or_else(|| RowsFault(format!("shard {} is missing", shard.sha256)))
}

fn edit_keys(bytes: &[u8], edits: &[([u8; ROW], bool)]) -> Option<Vec<u8>> {
    let mut rows = bytes.as_chunks::<ROW>().0.to_vec();
    for (row, present) in edits {
        rows.retain(|other| other.get(..KEY_ROW_NAME) != row.get(..KEY_ROW_NAME));
        if *present {
            rows.push(*row);
        }
    }
    (!rows.is_empty()).then(|| key_shard::build(rows))
}

fn edit_workspaces<R: Rows>(
    change: &Change<'_, R>,
    bytes: &[u8],
    changed: &BTreeSet<WorkspaceId>,
) -> Result<Option<Vec<u8>>, RowsFault> {
    let held = if bytes.is_empty() { Ok(Vec::new()) } else { serde_json::from_slice(bytes) };
    let mut all: Vec<workspace_shard::Workspace> = held.map_err(|fault| RowsFault(format!("a workspace shard: {fault}")))?;
    all.retain(|workspace| !changed.contains(&workspace.id));
    for id in changed {
        all.extend(workspaces::row(change, id)?);
    }
    Ok((!all.is_empty()).then(|| workspace_shard::build(all)))
}

fn replace<R: Rows>(
    change: &mut Change<'_, R>,
    shards: &mut Shards,
    family: Family,
    id: u8,
    bytes: Option<Vec<u8>>,
) -> Result<(), Refusal> {
    let Some(bytes) = bytes else {
        shards.remove(&(family, id));
        return Ok(());
    };
    if bytes.len() > MAX_ROW {
        return Err(Refusal::Full);
    }
    let shard = ShardRef::of(family, id, &bytes);
    if shards.insert((family, id), shard) != Some(shard) {
        change.put(names::blob(shard.sha256), bytes);
    }
    Ok(())
}

/// Marks the shards that the next manifest no longer names, with their size.
fn retire<R: Rows>(change: &mut Change<'_, R>, last: &Shards, next: &Shards) -> Result<(), RowsFault> {
    let due = change.now().after(BLOB_GRACE);
    for shard in last.iter().filter(|(at, shard)| next.get(at) != Some(shard)).map(|(_, shard)| shard) {
        let (mark, length) = (names::garbage(due, shard.sha256), shard.length.into());
        // What comes and goes twice in a second is there once.
        if change.get(&mark)?.is_none() {
            let size = change.number(names::GARBAGE_SIZE)?.saturating_add(length);
            change.note(names::GARBAGE_SIZE.into(), size);
        }
        change.note(mark, length);
        // KV's next manifest is this one or a later one: a shard that it does not have yet, it will never need.
        change.unmark(names::journal(Stage::Put, &names::blob(shard.sha256)));
    }
    Ok(())
}

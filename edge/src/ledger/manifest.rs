//! The current manifest and its shards: reading them, and what time does to them.

use super::change::{Change, decode, number};
use crate::{
    command::{Outcome, SnapshotCommand},
    etag,
    limits::{GARBAGE_BYTES, HEARTBEAT, OVERDUE, SWEEP, SWEEP_LOOK},
    names,
    refusal::{Refusal, Thing},
    rows::{Rows, RowsFault},
    secrets::Secrets,
};
use drawbridge_shared::{snapshot::Manifest, time::Timestamp};

pub(super) fn execute<R: Rows>(
    change: &mut Change<'_, R>,
    secrets: &Secrets,
    command: SnapshotCommand,
) -> Result<Outcome, Refusal> {
    match command {
        SnapshotCommand::Manifest { held } => read(change, secrets, held.as_deref()),
        SnapshotCommand::Blob(hash) => {
            let bytes = change.get(&names::blob(hash))?.ok_or(Refusal::NotFound(Thing::Shard))?;
            Ok(Outcome::Blob(bytes))
        }
    }
}

fn read<R: Rows>(change: &mut Change<'_, R>, secrets: &Secrets, held: Option<&str>) -> Result<Outcome, Refusal> {
    let seq = fresh(change, secrets)?.seq;
    let etag = Manifest::etag(seq);
    if etag::matches(held, &etag) {
        return Ok(Outcome::Unchanged { etag });
    }
    let bytes = change.get(names::MANIFEST)?.ok_or(Refusal::NotFound(Thing::Shard))?;
    let text = String::from_utf8(bytes).map_err(|_| RowsFault("the manifest is no text".into()))?;
    Ok(Outcome::Manifest { text, seq })
}

/// The current manifest, signed anew if the heartbeat missed it or the keys are being rolled, made if there is none.
pub(super) fn fresh<R: Rows>(change: &mut Change<'_, R>, secrets: &Secrets) -> Result<Manifest, Refusal> {
    match current(change)? {
        Some(held) if change.now().since(held.issued_at) < OVERDUE && held.signers == secrets.signers() => Ok(held),
        _ => {
            change.republish();
            change.publish(secrets)?;
            Ok(current(change)?.ok_or(Refusal::NotFound(Thing::Shard))?)
        }
    }
}

/// The current manifest, if there ever was one. It comes from our own rows: its signature is not checked.
pub(super) fn current<R: Rows>(change: &Change<'_, R>) -> Result<Option<Manifest>, RowsFault> {
    change.get(names::MANIFEST)?.map(|text| parse(&text)).transpose()
}

/// Drops shards that were replaced long ago, unless a later change brought the same bytes back.
pub(super) fn sweep<R: Rows>(change: &mut Change<'_, R>) -> Result<(), RowsFault> {
    let mut due = change.scan(names::GARBAGE, "", SWEEP)?;
    due.retain(|(mark, _)| names::parse_garbage(mark).is_some_and(|(due, _)| due <= change.now()));
    drop_all(change, due)
}

/// Drops the oldest before their time, where there are too many: whoever still fetches one asks for the manifest again.
pub(super) fn make_room<R: Rows>(change: &mut Change<'_, R>) -> Result<(), RowsFault> {
    if change.number(names::GARBAGE_SIZE)? <= GARBAGE_BYTES {
        return Ok(());
    }
    let oldest = change.scan(names::GARBAGE, "", SWEEP)?;
    drop_all(change, oldest)
}

/// Drops the oldest marks, and their shards.
fn drop_all<R: Rows>(change: &mut Change<'_, R>, marks: Vec<(String, Vec<u8>)>) -> Result<(), RowsFault> {
    let Some((last, _)) = marks.last() else { return Ok(()) };
    let later = change.scan(names::GARBAGE, last, SWEEP_LOOK)?;
    let named = current(change)?.map_or_else(Vec::new, |manifest| manifest.shards);
    let mut size = change.number(names::GARBAGE_SIZE)?;
    for (mark, length) in marks {
        let Some((_, hash)) = names::parse_garbage(&mark) else { continue };
        // It may have come back, and have gone again since.
        if named.iter().all(|shard| shard.sha256 != hash)
            && later.iter().all(|(other, _)| names::tail(other) != names::tail(&mark))
        {
            change.delete(names::blob(hash));
        }
        size = size.saturating_sub(number(&length).unwrap_or_default());
        change.unmark(mark);
    }
    change.note(names::GARBAGE_SIZE.into(), size);
    Ok(())
}

/// When there is something to sign anew or to sweep.
pub(super) fn due<R: Rows>(rows: &R) -> Result<Option<Timestamp>, RowsFault> {
    let heartbeat = rows.get(names::MANIFEST)?.map(|text| parse(&text)).transpose()?.map(|held| held.issued_at.after(HEARTBEAT));
    let garbage = rows.scan(names::GARBAGE, "", 1)?.first().and_then(|(name, _)| names::parse_garbage(name)).map(|(due, _)| due);
    Ok(heartbeat.into_iter().chain(garbage).min())
}

/// The payload is the text's first line.
pub(super) fn parse(text: &[u8]) -> Result<Manifest, RowsFault> {
    let payload = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    decode(names::MANIFEST, payload)
}

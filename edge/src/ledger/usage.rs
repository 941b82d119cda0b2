//! When keys were last used, as daemons report it: shown to their users, and nothing is decided by it.

use super::{change::Change, keys};
use crate::{
    facts::KeyFact,
    limits::USE_GRAIN,
    names,
    rows::{Rows, RowsFault},
};
use drawbridge_shared::api::UsedKey;

/// Notes each use that is news of a key that is there.
pub(super) fn report<R: Rows>(change: &mut Change<'_, R>, used: &[UsedKey]) -> Result<(), RowsFault> {
    used.iter().try_for_each(|used| note(change, used))
}

/// A daemon's clock may be ahead; no use lies in the future. Daemons tell the minute: one that was over before the key was
/// registered is of an earlier registration, and one in which it was registered shows no earlier time than that.
fn note<R: Rows>(change: &mut Change<'_, R>, used: &UsedKey) -> Result<(), RowsFault> {
    let UsedKey { user, public_key_fingerprint: fingerprint, used_at } = used;
    let used_at = (*used_at).min(change.now());
    let key: Option<KeyFact> = change.fact(&names::key(user, fingerprint))?;
    let Some(KeyFact { created_at, .. }) = key.filter(|key| used_at.after(USE_GRAIN) > key.created_at) else { return Ok(()) };
    let used_at = used_at.max(created_at);
    let held = keys::last_use(change, user, fingerprint)?;
    if held.is_none_or(|held| used_at.since(held) >= USE_GRAIN) {
        change.note(names::last_use(user, fingerprint), used_at.as_unix());
    }
    Ok(())
}

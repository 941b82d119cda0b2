//! When keys were last used, as daemons report it: shown to their users, and nothing is decided by it.

use super::{change::Change, keys};
use crate::{limits::USE_GRAIN, names, rows::Rows, rows::RowsFault};
use drawbridge_shared::api::UsedKey;

/// Notes each use that is news of a key that is there.
pub(super) fn report<R: Rows>(change: &mut Change<'_, R>, used: &[UsedKey]) -> Result<(), RowsFault> {
    used.iter().try_for_each(|used| note(change, used))
}

/// A daemon's clock may be ahead; no use lies in the future.
fn note<R: Rows>(change: &mut Change<'_, R>, used: &UsedKey) -> Result<(), RowsFault> {
    let UsedKey { user, public_key_fingerprint: fingerprint, used_at } = used;
    let used_at = (*used_at).min(change.now());
    if change.get(&names::key(user, fingerprint))?.is_none() {
        return Ok(());
    }
    let held = keys::last_use(change, user, fingerprint)?;
    if held.is_none_or(|held| used_at.since(held) >= USE_GRAIN) {
        change.note(names::last_use(user, fingerprint), used_at.as_unix());
    }
    Ok(())
}

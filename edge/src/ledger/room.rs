//! Room in an agent's document: it names every key of its workspace's members, and no change brings more than fit.
//!
//! A document that did not fit would be none, and keep out everybody who is not known to the agent yet: what goes too far is
//! refused to whoever asks for it.

use super::{change::Change, keys, membership, workspaces};
use crate::{
    limits::{DOCUMENT_KEYS, KEYS_PER_USER},
    names,
    refusal::Refusal,
    rows::{Rows, RowsFault},
};
use drawbridge_shared::id::{UserId, WorkspaceId};

/// Fewer members cannot have too many keys, nor can they with one member more: nothing has to be counted.
const FEW: usize = DOCUMENT_KEYS / KEYS_PER_USER;

/// Takes the room of one more key of `user`, wherever they may enter; or takes none.
pub(super) fn take_for_key<R: Rows>(change: &mut Change<'_, R>, user: &UserId) -> Result<(), Refusal> {
    let workspaces = membership::ids(change, user)?;
    for id in &workspaces {
        require(change, id, 1)?;
    }
    workspaces.iter().for_each(|id| change.count_more(id, 1));
    Ok(())
}

/// Takes the room of all keys of `user`, who is about to become a member; or takes none.
pub(super) fn take_for_member<R: Rows>(change: &mut Change<'_, R>, id: &WorkspaceId, user: &UserId) -> Result<(), Refusal> {
    let more = keys::lasting(change, user)?.len();
    if more > 0 {
        require(change, id, more)?;
    }
    change.count_more(id, more);
    Ok(())
}

fn require<R: Rows>(change: &mut Change<'_, R>, id: &WorkspaceId, more: usize) -> Result<(), Refusal> {
    let held = match change.counted(id) {
        Some(held) => held,
        None if change.count(&names::members_of(id), FEW)? < FEW => return Ok(()),
        None => count(change, id)?,
    };
    if held.saturating_add(more) > DOCUMENT_KEYS { Err(Refusal::DocumentFull(id.clone())) } else { Ok(()) }
}

/// Once in a change: many lines of an import are about the same workspace.
fn count<R: Rows>(change: &mut Change<'_, R>, id: &WorkspaceId) -> Result<usize, RowsFault> {
    let mut held = 0_usize;
    for user in workspaces::members(change, id)? {
        held = held.saturating_add(keys::lasting(change, &user)?.len());
    }
    change.remember_count(id.clone(), held);
    Ok(held)
}

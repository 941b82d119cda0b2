//! Many facts at once: each stands or falls for itself, and what was there before is no failure.

use super::{change::Change, keys, workspaces};
use crate::{
    command::{ImportItem, Outcome},
    facts::KeyFact,
    refusal::Refusal,
    rows::Rows,
};

/// Whether each item changed anything, or why it was refused. Storage that fails ends it all.
pub(super) fn run<R: Rows>(change: &mut Change<'_, R>, items: Vec<ImportItem>) -> Result<Outcome, Refusal> {
    let mut results = Vec::new();
    for item in items {
        match one(change, item) {
            Err(refusal @ Refusal::Storage(_)) => return Err(refusal),
            result => results.push(result),
        }
    }
    Ok(Outcome::Imported(results))
}

/// A refused item has changed nothing: every part decides before it writes.
fn one<R: Rows>(change: &mut Change<'_, R>, item: ImportItem) -> Result<bool, Refusal> {
    match item {
        ImportItem::Key { user, fingerprint, line, title, expires_at } => {
            let fact = KeyFact { line, title, created_at: change.now(), expires_at };
            keys::ensure(change, &user, fingerprint, fact)
        }
        ImportItem::Workspace { id, region } => workspaces::ensure(change, &id, region),
        ImportItem::Member(workspace, user) => workspaces::admit(change, &workspace, &user),
    }
}

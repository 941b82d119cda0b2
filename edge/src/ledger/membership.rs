//! Memberships seen from the user: which workspaces one may enter. An index of the Ledger's own, kept with every change.

use super::{change::Change, paging, regions};
use crate::{
    command::PageOf,
    facts::WorkspaceFact,
    limits::NAMED_WORKSPACES,
    names,
    rows::{Rows, RowsFault},
};
use drawbridge_shared::{
    api::{Page, UserWorkspace},
    id::{UserId, WorkspaceId},
};

pub(super) fn enter<R: Rows>(change: &mut Change<'_, R>, user: &UserId, workspace: &WorkspaceId) {
    change.mark(names::workspaces_of(user) + workspace.as_str());
}

pub(super) fn leave<R: Rows>(change: &mut Change<'_, R>, user: &UserId, workspace: &WorkspaceId) {
    change.unmark(names::workspaces_of(user) + workspace.as_str());
}

/// A page of them, each with what to type.
pub(super) fn list<R: Rows>(change: &Change<'_, R>, user: &UserId, page: &PageOf) -> Result<Page<UserWorkspace>, RowsFault> {
    let item = |name: &str, _: &[u8]| {
        let Some((id, WorkspaceFact { region, asleep, .. })) = workspace(change, name)? else { return Ok(None) };
        let connection = format!("ssh -J {} user@{id}", regions::jump(change, &region)?);
        Ok(Some(UserWorkspace { id, region, asleep, connection }))
    };
    paging::page(change, &names::workspaces_of(user), page, item, |_| false)
}

/// All of them, by their names alone.
pub(super) fn ids<R: Rows>(change: &Change<'_, R>, user: &UserId) -> Result<Vec<WorkspaceId>, RowsFault> {
    let rows = change.scan(&names::workspaces_of(user), "", usize::MAX)?;
    Ok(rows.iter().filter_map(|(name, _)| names::tail(name).parse().ok()).collect())
}

/// All of them that are named in files, with their regions.
pub(super) fn all<R: Rows>(change: &Change<'_, R>, user: &UserId) -> Result<Vec<(WorkspaceId, String)>, RowsFault> {
    let rows = change.scan(&names::workspaces_of(user), "", NAMED_WORKSPACES)?;
    let named = rows.iter().filter_map(|(name, _)| workspace(change, name).transpose());
    named.map(|found| found.map(|(id, fact)| (id, fact.region))).collect()
}

fn workspace<R: Rows>(change: &Change<'_, R>, name: &str) -> Result<Option<(WorkspaceId, WorkspaceFact)>, RowsFault> {
    let Ok(id) = names::tail(name).parse::<WorkspaceId>() else { return Ok(None) };
    Ok(change.fact(&names::workspace(&id))?.map(|fact| (id, fact)))
}

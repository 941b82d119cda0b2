//! Workspaces and their members.

use super::{
    change::{Change, decode},
    membership, paging, room, tokens,
};
use crate::{
    command::{Outcome, PageOf, Put},
    facts::{MemberFact, WorkspaceFact},
    limits::{MEMBERS_PER_WORKSPACE, PAGE_MEMBERS},
    names,
    refusal::{Refusal, Thing},
    rows::{Rows, RowsFault},
};
use drawbridge_shared::{
    api::WorkspaceItem,
    id::{UserId, WorkspaceId},
    snapshot::workspace_shard::Workspace,
    token::Scope,
};

pub(super) fn put<R: Rows>(change: &mut Change<'_, R>, id: WorkspaceId, region: String) -> Result<Outcome, Refusal> {
    let created = find(change, &id)?.is_none();
    ensure(change, &id, region)?;
    let fact = existing(change, &id)?;
    Ok(Outcome::Workspace(Put { item: item(change, id, fact)?, created }))
}

/// Creates it, or moves it; whether anything had to change.
pub(super) fn ensure<R: Rows>(change: &mut Change<'_, R>, id: &WorkspaceId, region: String) -> Result<bool, Refusal> {
    let held = find(change, id)?;
    let mut fact =
        held.unwrap_or_else(|| WorkspaceFact { region: String::new(), agent_key: None, created_at: change.now(), asleep: false });
    let differs = fact.region != region;
    if differs {
        fact.region = region;
        store(change, id, &fact)?;
    }
    Ok(differs)
}

pub(super) fn list<R: Rows>(change: &Change<'_, R>, page: &PageOf) -> Result<Outcome, Refusal> {
    let item = |name: &str, value: &[u8]| {
        let fact: WorkspaceFact = decode(name, value)?;
        names::tail(name).parse().ok().map(|id| item(change, id, fact)).transpose()
    };
    let mut named = 0_usize;
    let full = |item: &WorkspaceItem| {
        named = named.saturating_add(item.members.len());
        named >= PAGE_MEMBERS
    };
    Ok(Outcome::Workspaces(paging::page(change, names::WORKSPACES, page, item, full)?))
}

pub(super) fn get<R: Rows>(change: &Change<'_, R>, id: WorkspaceId) -> Result<Outcome, Refusal> {
    let fact = existing(change, &id)?;
    Ok(Outcome::Workspace(Put { item: item(change, id, fact)?, created: false }))
}

pub(super) fn delete<R: Rows>(change: &mut Change<'_, R>, id: &WorkspaceId) -> Result<Outcome, Refusal> {
    existing(change, id)?;
    for user in members(change, id)? {
        change.delete(names::member(id, &user));
        membership::leave(change, &user, id);
    }
    tokens::revoke_all(change, Scope::Agent, id.as_str())?;
    change.delete(names::workspace(id));
    change.touch_workspace(id);
    Ok(Outcome::Done)
}

pub(super) fn put_member<R: Rows>(change: &mut Change<'_, R>, id: &WorkspaceId, user: &UserId) -> Result<Outcome, Refusal> {
    admit(change, id, user).map(|_| Outcome::Done)
}

/// Lets a user in; whether they were out.
pub(super) fn admit<R: Rows>(change: &mut Change<'_, R>, id: &WorkspaceId, user: &UserId) -> Result<bool, Refusal> {
    existing(change, id)?;
    let name = names::member(id, user);
    if change.get(&name)?.is_some() {
        return Ok(false);
    }
    if change.count(&names::members_of(id), MEMBERS_PER_WORKSPACE)? >= MEMBERS_PER_WORKSPACE {
        return Err(Refusal::TooManyMembers);
    }
    room::take_for_member(change, id, user)?;
    change.put_fact(name, &MemberFact { created_at: change.now() })?;
    membership::enter(change, user, id);
    change.touch_workspace(id);
    Ok(true)
}

pub(super) fn delete_member<R: Rows>(change: &mut Change<'_, R>, id: &WorkspaceId, user: &UserId) -> Result<Outcome, Refusal> {
    let name = names::member(id, user);
    change.get(&name)?.ok_or(Refusal::NotFound(Thing::Member))?;
    change.delete(name);
    membership::leave(change, user, id);
    change.touch_workspace(id);
    Ok(Outcome::Done)
}

pub(super) fn list_members<R: Rows>(change: &Change<'_, R>, id: &WorkspaceId, page: &PageOf) -> Result<Outcome, Refusal> {
    existing(change, id)?;
    let item = |name: &str, _: &[u8]| Ok(names::user_of(name));
    Ok(Outcome::Members(paging::page(change, &names::members_of(id), page, item, |_| false)?))
}

pub(super) fn reset_agent_key<R: Rows>(change: &mut Change<'_, R>, id: &WorkspaceId) -> Result<Outcome, Refusal> {
    let mut fact = existing(change, id)?;
    fact.agent_key.take().ok_or(Refusal::NotFound(Thing::AgentKey))?;
    store(change, id, &fact)?;
    Ok(Outcome::Done)
}

/// Says that it sleeps, or that it is awake.
pub(super) fn set_asleep<R: Rows>(change: &mut Change<'_, R>, id: &WorkspaceId, asleep: bool) -> Result<Outcome, Refusal> {
    let fact = existing(change, id)?;
    if fact.asleep != asleep {
        store(change, id, &WorkspaceFact { asleep, ..fact })?;
    }
    Ok(Outcome::Done)
}

pub(super) fn existing<R: Rows>(change: &Change<'_, R>, id: &WorkspaceId) -> Result<WorkspaceFact, Refusal> {
    find(change, id)?.ok_or(Refusal::NotFound(Thing::Workspace))
}

pub(super) fn store<R: Rows>(change: &mut Change<'_, R>, id: &WorkspaceId, fact: &WorkspaceFact) -> Result<(), RowsFault> {
    change.put_fact(names::workspace(id), fact)?;
    change.touch_workspace(id);
    Ok(())
}

/// Who may enter, sorted.
pub(super) fn members<R: Rows>(change: &Change<'_, R>, id: &WorkspaceId) -> Result<Vec<UserId>, RowsFault> {
    let rows = change.scan(&names::members_of(id), "", MEMBERS_PER_WORKSPACE)?;
    let mut members: Vec<_> = rows.iter().filter_map(|(name, _)| names::user_of(name)).collect();
    members.sort_unstable();
    Ok(members)
}

/// The workspace as its shard has it, if there is one.
pub(super) fn row<R: Rows>(change: &Change<'_, R>, id: &WorkspaceId) -> Result<Option<Workspace>, RowsFault> {
    let Some(WorkspaceFact { region, agent_key, asleep, .. }) = find(change, id)? else { return Ok(None) };
    Ok(Some(Workspace { id: id.clone(), region, agent_key, members: members(change, id)?, asleep }))
}

fn find<R: Rows>(change: &Change<'_, R>, id: &WorkspaceId) -> Result<Option<WorkspaceFact>, RowsFault> {
    change.fact(&names::workspace(id))
}

fn item<R: Rows>(change: &Change<'_, R>, id: WorkspaceId, fact: WorkspaceFact) -> Result<WorkspaceItem, RowsFault> {
    let members = members(change, &id)?;
    let WorkspaceFact { region, agent_key, created_at, asleep } = fact;
    Ok(WorkspaceItem { id, region, agent_key, members, asleep, created_at })
}

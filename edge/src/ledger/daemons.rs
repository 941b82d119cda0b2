//! The directory of daemons.

use super::{
    change::{Change, decode},
    paging, tokens,
};
use crate::{
    command::{Outcome, PageOf, Put},
    facts::DaemonFact,
    limits::DAEMONS,
    names,
    refusal::{Refusal, Thing},
    rows::{Rows, RowsFault},
};
use drawbridge_shared::{id::DaemonId, snapshot::directory::DaemonEntry, token::Scope};

pub(super) fn put<R: Rows>(
    change: &mut Change<'_, R>,
    id: DaemonId,
    identity: String,
    region: String,
    addresses: Vec<String>,
) -> Result<Outcome, Refusal> {
    let name = names::daemon(&id);
    let held: Option<DaemonFact> = change.fact(&name)?;
    let others: Vec<_> = entries(change)?.into_iter().filter(|other| other.id != id).collect();
    if let Some(other) = others.iter().find(|other| other.identity == identity) {
        return Err(Refusal::IdentityTaken(other.id.clone()));
    }
    if others.len() >= DAEMONS {
        return Err(Refusal::TooManyDaemons);
    }
    let created = held.is_none();
    let created_at = held.map_or(change.now(), |held| held.created_at);
    let fact = DaemonFact { identity, region, addresses, created_at };
    change.put_fact(name, &fact)?;
    change.touch_daemons();
    Ok(Outcome::Daemon(Put { item: fact.item(id), created }))
}

pub(super) fn list<R: Rows>(change: &Change<'_, R>, page: &PageOf) -> Result<Outcome, Refusal> {
    let item = |name: &str, value: &[u8]| {
        let fact: DaemonFact = decode(name, value)?;
        Ok(names::tail(name).parse().ok().map(|id| fact.item(id)))
    };
    Ok(Outcome::Daemons(paging::page(change, names::DAEMONS, page, item, |_| false)?))
}

/// Its tokens go with it.
pub(super) fn delete<R: Rows>(change: &mut Change<'_, R>, id: &DaemonId) -> Result<Outcome, Refusal> {
    let name = names::daemon(id);
    change.get(&name)?.ok_or(Refusal::NotFound(Thing::Daemon))?;
    change.delete(name);
    tokens::revoke_all(change, Scope::Daemon, id.as_str())?;
    change.touch_daemons();
    Ok(Outcome::Done)
}

/// The whole directory.
pub(super) fn entries<R: Rows>(change: &Change<'_, R>) -> Result<Vec<DaemonEntry>, RowsFault> {
    let rows = change.scan(names::DAEMONS, "", DAEMONS)?;
    let rows = rows.into_iter().filter_map(|(name, value)| Some((names::tail(&name).parse().ok()?, decode(&name, &value))));
    rows.map(|(id, fact): (DaemonId, Result<DaemonFact, _>)| Ok(fact?.entry(id))).collect()
}

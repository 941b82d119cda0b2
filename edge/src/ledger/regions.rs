//! Regions: how their daemons are reached by SSH.

use super::{
    change::{Change, decode},
    paging,
};
use crate::{
    command::{Outcome, PageOf, Put},
    facts::RegionFact,
    limits::REGIONS,
    names,
    refusal::{Refusal, Thing},
    rows::{Rows, RowsFault},
};
use drawbridge_shared::api::RegionItem;

/// The port that needs no mention.
const SSH_PORT: u16 = 22;

pub(super) fn put<R: Rows>(
    change: &mut Change<'_, R>,
    region: String,
    hosts: Vec<String>,
    port: u16,
) -> Result<Outcome, Refusal> {
    let name = names::region(&region);
    let held: Option<RegionFact> = change.fact(&name)?;
    let created = held.is_none();
    if created && change.count(names::REGIONS, REGIONS)? >= REGIONS {
        return Err(Refusal::TooManyRegions);
    }
    let created_at = held.as_ref().map_or(change.now(), |held| held.created_at);
    let fact = RegionFact { hosts, port, created_at };
    if held.is_none_or(|held| (held.hosts, held.port) != (fact.hosts.clone(), port)) {
        change.put_fact(name, &fact)?;
    }
    Ok(Outcome::Region(Put { item: fact.item(region), created }))
}

pub(super) fn list<R: Rows>(change: &Change<'_, R>, page: &PageOf) -> Result<Outcome, Refusal> {
    Ok(Outcome::Regions(paging::page(change, names::REGIONS, page, |name, value| item(name, value).map(Some), |_| false)?))
}

pub(super) fn delete<R: Rows>(change: &mut Change<'_, R>, region: &str) -> Result<Outcome, Refusal> {
    let name = names::region(region);
    change.get(&name)?.ok_or(Refusal::NotFound(Thing::Region))?;
    change.delete(name);
    Ok(Outcome::Done)
}

/// Every region.
pub(super) fn all<R: Rows>(change: &Change<'_, R>) -> Result<Vec<RegionItem>, RowsFault> {
    change.scan(names::REGIONS, "", REGIONS)?.iter().map(|(name, value)| item(name, value)).collect()
}

/// The names of a region's jump host. One that nobody registered is its own name.
pub(super) fn hosts<R: Rows>(change: &Change<'_, R>, region: &str) -> Result<Vec<String>, RowsFault> {
    let fact: Option<RegionFact> = change.fact(&names::region(region))?;
    Ok(fact.map_or_else(|| vec![region.to_owned()], |fact| fact.hosts))
}

/// What stands behind `-J`.
pub(super) fn jump<R: Rows>(change: &Change<'_, R>, region: &str) -> Result<String, RowsFault> {
    let fact: Option<RegionFact> = change.fact(&names::region(region))?;
    Ok(fact.map_or_else(|| region.to_owned(), |fact| jump_host(&fact.item(region.to_owned()))))
}

/// `host` or `host:port`, as OpenSSH's ProxyJump takes it.
pub fn jump_host(region: &RegionItem) -> String {
    let host = region.hosts.first().unwrap_or(&region.region);
    match (region.port, host.contains(':')) {
        (SSH_PORT, _) => host.clone(),
        (port, true) => format!("[{host}]:{port}"),
        (port, false) => format!("{host}:{port}"),
    }
}

fn item(name: &str, value: &[u8]) -> Result<RegionItem, RowsFault> {
    let fact: RegionFact = decode(name, value)?;
    Ok(fact.item(names::tail(name).to_owned()))
}

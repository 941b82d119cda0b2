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

/// The names of every region's jump host.
pub(super) fn all_hosts<R: Rows>(change: &Change<'_, R>) -> Result<Vec<String>, RowsFault> {
    Ok(all(change)?.into_iter().flat_map(|region| region.hosts).collect())
}

/// The names of a region's jump host. One that nobody registered is its own name.
pub(super) fn hosts<R: Rows>(change: &Change<'_, R>, region: &str) -> Result<Vec<String>, RowsFault> {
    Ok(registered(change, region)?.unwrap_or_else(|| vec![region.to_owned()]))
}

/// The same, if somebody registered it.
pub(super) fn registered<R: Rows>(change: &Change<'_, R>, region: &str) -> Result<Option<Vec<String>>, RowsFault> {
    let fact: Option<RegionFact> = change.fact(&names::region(region))?;
    Ok(fact.map(|fact| fact.hosts))
}

/// What stands behind `-J`.
pub(super) fn jump<R: Rows>(change: &Change<'_, R>, region: &str) -> Result<String, RowsFault> {
    let fact: Option<RegionFact> = change.fact(&names::region(region))?;
    Ok(fact.map_or_else(|| region.to_owned(), |fact| jump_host(&fact.item(region.to_owned()))))
}

/// `host` or `host:port`, as OpenSSH's ProxyJump takes it: an IPv6 address always stands in brackets there.
pub fn jump_host(region: &RegionItem) -> String {
    let host = region.hosts.first().unwrap_or(&region.region);
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    if region.port == SSH_PORT { host } else { format!("{host}:{}", region.port) }
}

fn item(name: &str, value: &[u8]) -> Result<RegionItem, RowsFault> {
    let fact: RegionFact = decode(name, value)?;
    Ok(fact.item(names::tail(name).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawbridge_shared::time::Timestamp;

    #[test]
    fn a_jump_host_is_written_as_ssh_reads_it() {
        for (host, port, written) in [
            ("eu.example.com", 22, "eu.example.com"),
            ("eu.example.com", 2222, "eu.example.com:2222"),
            ("192.0.2.1", 22, "192.0.2.1"),
            ("2001:db8::1", 22, "[2001:db8::1]"),
            ("2001:db8::1", 2222, "[2001:db8::1]:2222"),
        ] {
            let region = RegionFact { hosts: vec![host.into()], port, created_at: Timestamp::from_unix(0) };
            assert_eq!(jump_host(&region.item("eu".into())), written);
        }
    }
}

//! `/api/ssh` beside the keys: where a user may go, and the files that let a stock OpenSSH go there: known_hosts (sshd(8))
//! and ssh_config(5).

use super::{
    asked::Asked,
    wish::{Wish, ask},
};
use crate::{
    command::{Access, File, UserCommand},
    ledger::jump_host,
    problem::Failure,
};
use axum::http::StatusCode;
use drawbridge_shared::{api::RegionItem, id::WorkspaceId};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    net::IpAddr,
};

const SSH_PORT: u16 = 22;
/// What OpenSSH makes of every workspace number below 2^24; no real host has such an address (RFC 1122 section 3.2.1.3).
const SMALL_NUMBERS: &str = "0.*";

pub(super) fn list_workspaces(asked: &Asked) -> Result<Wish, Failure> {
    ask(UserCommand::ListWorkspaces(asked.page()?))
}

pub(super) fn get_config(_: &Asked) -> Result<Wish, Failure> {
    ask(UserCommand::Access(File::Config))
}

pub(super) fn get_known_hosts(_: &Asked) -> Result<Wish, Failure> {
    ask(UserCommand::Access(File::KnownHosts))
}

/// Host keys are not certified here.
pub(super) fn no_host_ca() -> Failure {
    let failure = Failure::new(StatusCode::NOT_FOUND, "This edge certifies no host keys");
    failure.advice("Its operator can change that: the secret HOST_CA_KEY holds the key of a host CA.")
}

/// One line for each key of the host CA, valid for the jump hosts and for workspaces, and for no other host; `None`
/// without a host CA.
pub(super) fn known_hosts(access: &Access) -> Option<String> {
    let mut patterns = BTreeSet::new();
    patterns.extend(["ws-*", SMALL_NUMBERS].map(str::to_owned));
    patterns.extend(regions(access).iter().flat_map(jump_patterns));
    patterns.extend(access.workspaces.iter().filter_map(|(id, _)| own_name(id)));
    let patterns = patterns.into_iter().collect::<Vec<_>>().join(",");
    let lines: String = access.host_ca.iter().map(|key| format!("@cert-authority {patterns} {key}\n")).collect();
    (!lines.is_empty()).then_some(lines)
}

/// All regions; one that nobody registered is its own jump host.
fn regions(access: &Access) -> Vec<RegionItem> {
    let mut all = BTreeMap::new();
    all.extend(access.regions.iter().map(|region| (region.region.clone(), region.clone())));
    for (_, name) in &access.workspaces {
        all.entry(name.clone()).or_insert_with(|| unregistered(name));
    }
    all.into_values().collect()
}

fn unregistered(name: &str) -> RegionItem {
    let created_at = drawbridge_shared::time::Timestamp::from_unix(0);
    RegionItem { region: name.to_owned(), hosts: vec![name.to_owned()], port: SSH_PORT, created_at }
}

/// A jump host's own names, and its workspaces' names behind a domain.
fn jump_patterns(region: &RegionItem) -> Vec<String> {
    let own = |host: &String| if region.port == SSH_PORT { host.clone() } else { format!("[{host}]:{}", region.port) };
    let domains = region.hosts.iter().filter(|host| host.parse::<IpAddr>().is_err());
    region.hosts.iter().map(own).chain(domains.map(|domain| format!("*.{domain}"))).collect()
}

/// The name that known_hosts has for a workspace called by its bare id, unless a pattern covers it.
fn own_name(id: &WorkspaceId) -> Option<String> {
    match id.dotted_quad() {
        Some(quad) => (quad.octets()[0] != 0).then(|| quad.to_string()),
        None => Some(id.to_string()),
    }
}

/// An ssh_config to paste: every workspace by its name, the way through its region's jump host.
pub(super) fn config(access: &Access) -> String {
    let mut text = String::from(
        "# Drawbridge: put this at the top of ~/.ssh/config, or into a file that an Include line there names.\n\
         # GET /api/ssh/known_hosts has the line for ~/.ssh/known_hosts that makes every host key known.\n",
    );
    let regions = regions(access);
    for region in &regions {
        let inside: Vec<_> = access.workspaces.iter().filter(|(_, name)| *name == region.region).map(|(id, _)| id).collect();
        // Where there is one region, whatever else is called ws-* is there too.
        let rest = if regions.len() == 1 { " ws-*" } else { "" };
        if !inside.is_empty() || !rest.is_empty() {
            block(&mut text, region, &inside, rest);
        }
    }
    text
}

fn block(text: &mut String, region: &RegionItem, inside: &[&WorkspaceId], rest: &str) {
    let names: String = inside.iter().map(|id| format!(" {id} ws-{id}")).collect();
    let jump = jump_host(region);
    let host = region.hosts.first().unwrap_or(&region.region);
    // Writing to a String does not fail.
    let _ = write!(
        text,
        "\nHost{names}{rest}\n  User user\n  ProxyJump {jump}\n  # For tools without ProxyJump:\n  \
         # ProxyCommand ssh -p {} -W %h:%p {host}\n",
        region.port
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(ids: &[&str], regions: &[(&str, &[&str], u16)]) -> Access {
        let created_at = drawbridge_shared::time::Timestamp::from_unix(0);
        let region = |(name, hosts, port): &(&str, &[&str], u16)| RegionItem {
            region: name.to_string(),
            hosts: hosts.iter().map(|host| host.to_string()).collect(),
            port: *port,
            created_at,
        };
        Access {
            workspaces: ids.iter().map(|id| (id.parse().unwrap(), "eu".into())).collect(),
            regions: regions.iter().map(region).collect(),
            host_ca: vec!["ssh-ed25519 AAAA".into()],
        }
    }

    #[test]
    fn the_ca_vouches_for_jump_hosts_and_workspaces_only() {
        let access = access(&["796636", "4294967295", "lighthouse"], &[("eu", &["eu.example.com", "192.0.2.1"], 22)]);
        let line =
            "@cert-authority *.eu.example.com,0.*,192.0.2.1,255.255.255.255,eu.example.com,lighthouse,ws-* ssh-ed25519 AAAA\n";
        assert_eq!(known_hosts(&access).as_deref(), Some(line));
    }

    #[test]
    fn another_port_stands_in_brackets() {
        let line = known_hosts(&access(&[], &[("dev", &["127.0.0.1"], 2222)])).unwrap();
        assert_eq!(line, "@cert-authority 0.*,[127.0.0.1]:2222,ws-* ssh-ed25519 AAAA\n");
    }

    #[test]
    fn an_unregistered_region_is_its_own_jump_host() {
        let text = config(&access(&["1", "lighthouse"], &[]));
        assert!(text.contains("\nHost 1 ws-1 lighthouse ws-lighthouse ws-*\n  User user\n  ProxyJump eu\n"), "{text}");
        assert!(known_hosts(&access(&["1"], &[])).unwrap().starts_with("@cert-authority *.eu,0.*,eu,ws-* "));
    }

    #[test]
    fn several_regions_name_their_own_workspaces() {
        let text = config(&access(&["1"], &[("eu", &["2001:db8::1"], 2022), ("us", &["us.example.com"], 22)]));
        assert!(text.contains("\nHost 1 ws-1\n  User user\n  ProxyJump [2001:db8::1]:2022\n"), "{text}");
        assert!(text.contains("# ProxyCommand ssh -p 2022 -W %h:%p 2001:db8::1\n"), "{text}");
        assert_eq!(text.matches("\nHost").count(), 1);
    }

    #[test]
    fn an_ipv6_address_stands_in_brackets_where_ssh_wants_them() {
        let access = access(&["1"], &[("eu", &["2001:db8::1"], 22)]);
        let text = config(&access);
        assert!(text.contains("\n  ProxyJump [2001:db8::1]\n"), "{text}");
        assert!(text.contains("# ProxyCommand ssh -p 22 -W %h:%p 2001:db8::1\n"), "{text}");
        assert!(known_hosts(&access).unwrap().starts_with("@cert-authority 0.*,2001:db8::1,ws-* "));
    }
}

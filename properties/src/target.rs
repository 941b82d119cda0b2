//! Jump targets: every spelling of a workspace leads to it, and nothing else leads anywhere.

use drawbridge_shared::{
    id::WorkspaceId,
    target::{SSH_PORT, TargetFault, parse},
};
use std::net::IpAddr;

const DOMAINS: [&str; 2] = ["eu.example.com", "local"];

/// `data` as the host of a `direct-tcpip` request.
pub fn check(data: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(data) else { return false };
    for port in [0, 23, 2222, SSH_PORT + 65_536] {
        assert_eq!(parse(host, port, &domains()), Err(TargetFault::Port));
    }
    let Some(id) = named(host) else { return false };
    all_spellings(&id);
    never_an_address(host, &id);
    true
}

fn domains() -> Vec<String> {
    DOMAINS.map(String::from).to_vec()
}

fn named(host: &str) -> Option<WorkspaceId> {
    parse(host, SSH_PORT, &domains()).ok()
}

/// What the id is printed as leads back to it, in every spelling that users and OpenSSH have.
fn all_spellings(id: &WorkspaceId) {
    let plain = [id.to_string(), format!("ws-{id}")];
    let quad = id.dotted_quad().map(|quad| quad.to_string());
    for name in plain.into_iter().chain(quad) {
        let inside = DOMAINS.iter().map(|domain| format!("{name}.{domain}"));
        for spelling in inside.chain([name.clone(), name.to_ascii_uppercase()]) {
            assert_eq!(named(&spelling).as_ref(), Some(id), "{spelling}");
        }
    }
}

/// The id is one label made of what was said; an address is at most a number.
fn never_an_address(host: &str, id: &WorkspaceId) {
    assert!(!id.as_str().contains(['.', ':', '/', '%']) && id.as_str().parse::<WorkspaceId>().as_ref() == Ok(id));
    let lower = host.to_ascii_lowercase();
    match lower.parse() {
        Ok(IpAddr::V4(quad)) => assert_eq!(id.as_str(), u32::from(quad).to_string()),
        Ok(IpAddr::V6(_)) => panic!("{host} is an address"),
        Err(_) if !lower.contains('.') => assert_eq!(lower.strip_prefix("ws-").unwrap_or(&lower), id.as_str()),
        Err(_) => assert!(DOMAINS.iter().any(|domain| lower.ends_with(&format!(".{domain}"))), "{host} is in no domain"),
    }
}

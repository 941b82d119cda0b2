//! What a jump target may say: a workspace's name in one of its spellings, never an address.

use crate::id::WorkspaceId;
use std::net::Ipv4Addr;

/// The only port that a workspace answers on.
pub const SSH_PORT: u32 = 22;

/// Why a target names no workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetFault {
    /// A port other than 22.
    #[error("only port 22 leads to a workspace")]
    Port,
    /// Not a workspace's name.
    #[error("a target is a workspace id, with or without 'ws-' in front and the region's domain behind")]
    Name,
}

/// The workspace that `host` and `port` of a `direct-tcpip` request name (RFC 4254 section 7.2).
///
/// Taken are `<id>` and `ws-<id>`, either with `.<domain>` behind it for one of `domains`, and the dotted quad that
/// OpenSSH makes of a bare integer; letter case does not matter.
pub fn parse(host: &str, port: u32, domains: &[String]) -> Result<WorkspaceId, TargetFault> {
    if port != SSH_PORT {
        return Err(TargetFault::Port);
    }
    if host.len() > 255 || !host.is_ascii() {
        return Err(TargetFault::Name);
    }
    let host = host.to_ascii_lowercase();
    let name = domains.iter().find_map(|domain| within(&host, domain)).unwrap_or(&host);
    quad(name).unwrap_or(name.strip_prefix("ws-").unwrap_or(name).parse().map_err(|_| TargetFault::Name))
}

fn within<'a>(host: &'a str, domain: &str) -> Option<&'a str> {
    host.strip_suffix(domain)?.strip_suffix('.')
}

/// A dotted quad read back as the integer it was; `None` when it is none.
fn quad(name: &str) -> Option<Result<WorkspaceId, TargetFault>> {
    let address: Ipv4Addr = name.parse().ok()?;
    Some(u32::from(address).to_string().parse().map_err(|_| TargetFault::Name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(host: &str) -> Result<String, TargetFault> {
        parse(host, 22, &["eu.example.com".into()]).map(|id| id.to_string())
    }

    #[test]
    fn every_spelling_of_a_workspace_is_one_name() {
        for host in ["796636", "ws-796636", "0.12.39.220", "796636.eu.example.com", "WS-796636.EU.example.com"] {
            assert_eq!(name(host).as_deref(), Ok("796636"), "{host}");
        }
        for host in ["lighthouse", "ws-lighthouse", "Lighthouse", "lighthouse.eu.example.com"] {
            assert_eq!(name(host).as_deref(), Ok("lighthouse"), "{host}");
        }
        assert_eq!(name("4294967296").as_deref(), Ok("4294967296"));
        assert_eq!(name("127.0.0.1").as_deref(), Ok("2130706433"), "a workspace's number, never an address");
    }

    #[test]
    fn everything_else_is_refused() {
        let long = "a".repeat(30_000);
        for host in [
            "",
            "ws-",
            "ws-ws-1",
            "a.b",
            "::1",
            "[::1]",
            "127.1",
            "0x7f.0.0.1",
            "0x7f000001",
            "0177.0.0.1",
            "a b",
            "a\0",
            "a\r\nb",
            "１２７",
            "-a",
            "796636.evil.com",
            ".eu.example.com",
            "eu.example.com.",
            &long,
        ] {
            assert_eq!(name(host), Err(TargetFault::Name), "{host:.20}");
        }
        assert_eq!(parse("796636", 80, &[]), Err(TargetFault::Port));
        assert_eq!(parse("796636", 65558, &[]), Err(TargetFault::Port));
    }
}

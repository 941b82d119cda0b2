//! What an operator may write into the fields of a body.

use crate::{limits::MAX_TOKEN_GRACE, problem::Failure};
use drawbridge_shared::{
    api::{MAX_ADDRESS, MAX_ADDRESSES, MAX_HOSTS, MAX_REGION},
    id::{DaemonId, UserId, WorkspaceId, is_label},
    key::UserKey,
    token::Scope,
};
use std::time::Duration;

/// The canonical line of an Ed25519 key, without its comment.
pub(in crate::api) fn ed25519(line: &str) -> Result<String, Failure> {
    let key = UserKey::titled(line, Some(""))?;
    let advice = "Send the line 'ssh-ed25519 AAAA...' that the program prints.";
    let suits = key.line().starts_with("ssh-ed25519 ");
    suits.then(|| key.line().to_owned()).ok_or_else(|| Failure::bad("This key must be of type ssh-ed25519").advice(advice))
}

/// A subject that fits its scope.
pub(super) fn subject(scope: Scope, text: String) -> Result<String, Failure> {
    let checked = match scope {
        Scope::User | Scope::Operator => text.parse::<UserId>().map(drop),
        Scope::Agent => text.parse::<WorkspaceId>().map(drop),
        Scope::Daemon => text.parse::<DaemonId>().map(drop),
    };
    let bad = |fault: drawbridge_shared::id::IdFault| {
        Failure::bad(format!("The subject does not fit the scope '{scope}'")).advice(fault.to_string())
    };
    checked.map(|()| text).map_err(bad)
}

/// A region: one or more DNS labels.
pub(super) fn region(text: String) -> Result<String, Failure> {
    let suits = text.len() <= MAX_REGION && text.split('.').all(is_label);
    let advice = format!(
        "A region has 1 to {MAX_REGION} characters: labels of a-z, 0-9 and '-' with dots between; none starts or ends with '-'."
    );
    suits.then_some(text).ok_or_else(|| Failure::bad("This is not a region").advice(advice))
}

/// Where a daemon is reached.
pub(super) fn addresses(all: Vec<String>) -> Result<Vec<String>, Failure> {
    let suits = (1..=MAX_ADDRESSES).contains(&all.len()) && all.iter().all(|address| is_address(address));
    let advice = format!("Name 1 to {MAX_ADDRESSES} addresses as 'host:port', IPv6 as '[::1]:443'.");
    suits.then_some(all).ok_or_else(|| Failure::bad("These are not addresses").advice(advice))
}

/// Names of a jump host: host names or addresses, none with a port.
pub(super) fn hosts(all: Vec<String>) -> Result<Vec<String>, Failure> {
    let suits = (1..=MAX_HOSTS).contains(&all.len()) && all.iter().all(|host| is_host(host));
    let advice = format!("Name 1 to {MAX_HOSTS} host names or addresses, in lower case and without a port.");
    suits.then_some(all).ok_or_else(|| Failure::bad("These are not names of a host").advice(advice))
}

/// A port that can be connected to.
pub(super) fn port(port: u16) -> Result<u16, Failure> {
    if port > 0 { Ok(port) } else { Err(Failure::bad("There is no port 0")) }
}

/// How long older tokens stay good.
pub(super) fn grace(seconds: Option<u32>) -> Result<Duration, Failure> {
    let grace = Duration::from_secs(seconds.unwrap_or_default().into());
    let most = MAX_TOKEN_GRACE.as_secs();
    let suits = grace <= MAX_TOKEN_GRACE;
    suits.then_some(grace).ok_or_else(|| Failure::bad("The grace is too long").advice(format!("Choose at most {most} seconds.")))
}

fn is_host(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let label = |label: &str| !label.is_empty() && !label.starts_with('-') && label.bytes().all(plain);
    text.len() <= MAX_ADDRESS && (text.parse::<std::net::IpAddr>().is_ok() || text.split('.').all(label))
}

fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_suits = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(named),
    };
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= MAX_ADDRESS && host_suits && digits && port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port() {
        for good in ["127.0.0.1:443", "jump.example.com:1", "[::1]:65535", "jump_1:22"] {
            assert!(is_address(good), "{good}");
        }
        for bad in ["", ":443", "host", "host:", "host:0", "host:65536", "::1:443", "[x]:1", "a b:1", "host:+1", "http://host:1"]
        {
            assert!(!is_address(bad), "{bad}");
        }
        assert!(addresses(vec![]).is_err());
        assert!(addresses(vec!["a:1".into(); MAX_ADDRESSES + 1]).is_err());
    }

    #[test]
    fn hosts_have_no_port_and_no_pattern() {
        for good in ["eu.example.com", "127.0.0.1", "2001:db8::1", "eu"] {
            assert!(is_host(good), "{good}");
        }
        for bad in ["", "EU", "a:22", "*.example.com", "a,b", "a b", "a..b", "-a", "!a", "[::1]", "a\n"] {
            assert!(!is_host(bad), "{bad}");
        }
        assert!(hosts(vec![]).is_err() && port(0).is_err() && grace(Some(u32::MAX)).is_err());
    }

    #[test]
    fn subjects_fit_their_scope() {
        assert!(subject(Scope::User, "auth0|5f".into()).is_ok());
        assert!(subject(Scope::Agent, "auth0|5f".into()).is_err());
        assert!(subject(Scope::Daemon, "eu-1".into()).is_ok());
        assert!(subject(Scope::Operator, "".into()).is_err());
    }

    #[test]
    fn regions_are_names() {
        for good in ["eu.ssh.example.com", "eu-1", "1", &"e".repeat(63)] {
            assert!(region(good.into()).is_ok(), "{good}");
        }
        for bad in ["", "EU", "e u", "eu\n", "-x", "x-", ".", "..", "a..b", "a.", ".a", "a.-b", &"e".repeat(64)] {
            assert!(region(bad.into()).is_err(), "{bad}");
        }
    }
}

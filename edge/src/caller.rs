//! Whom a call is counted for.

use crate::{
    facts::TokenFact,
    names::{self, BLOB_PATH, KEYS_PATH},
};
use axum::http::{Method, request::Parts};
use drawbridge_shared::time::Timestamp;
use std::net::IpAddr;

/// What one caller has at their choice counts as one: of IPv6, the network of 64 bits, unless it is that of IPv4's addresses.
pub fn source(address: &str) -> String {
    let Ok(IpAddr::V6(ip)) = address.parse() else { return address.into() };
    match ip.to_bits() >> 64 {
        0 => address.into(),
        network => (network as u64).to_string(),
    }
}

/// Whose token this is that KV has as `fact`, if it is good at `now`: one word for all tokens of one bearer.
pub fn bearer(fact: &[u8], now: Timestamp) -> Option<String> {
    let fact: TokenFact = serde_json::from_slice(fact).ok()?;
    (!fact.expired(now)).then(|| names::tokens_of(fact.scope, &fact.subject))
}

/// Whether a call is counted by its token. How many shards a daemon has to fetch is up to those who change keys: their calls are
/// counted, and changes once more.
pub fn counts(parts: &Parts) -> bool {
    !parts.uri.path().starts_with(BLOB_PATH)
}

/// Whether it changes a user's keys.
pub fn changes(parts: &Parts) -> bool {
    parts.uri.path().starts_with(KEYS_PATH) && !matches!(parts.method, Method::GET | Method::HEAD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;
    use drawbridge_shared::token::Scope;
    use std::time::Duration;

    #[test]
    fn a_network_of_ipv6_is_one_caller() {
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:1:2:3"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_ne!(source("::ffff:192.0.2.1"), source("::ffff:192.0.2.2"));
        for other in ["192.0.2.1", "unknown", ""] {
            assert_eq!(source(other), other);
        }
    }

    #[test]
    fn all_tokens_of_one_bearer_are_one_caller() {
        let now = Timestamp::from_unix(1_800_000_000);
        let of = |scope, subject: &str, expires_at| {
            let fact = TokenFact { scope, subject: subject.into(), created_at: Timestamp::from_unix(1), expires_at };
            bearer(&serde_json::to_vec(&fact).unwrap(), now)
        };
        let alice = of(Scope::User, "alice", None);
        assert!(alice.is_some() && alice == of(Scope::User, "alice", Some(now.after(Duration::from_secs(1)))));
        assert!(alice != of(Scope::User, "bob", None) && alice != of(Scope::Agent, "alice", None));
        assert_eq!(of(Scope::User, "alice", Some(now)), None, "it has expired");
        assert_eq!(bearer(b"", now), None);
    }

    #[test]
    fn changes_are_counted_once_more_and_shards_not_at_all() {
        let counted = |method: &str, path: &str| {
            let parts = Request::builder().method(method).uri(path).body(()).unwrap().into_parts().0;
            (counts(&parts), changes(&parts))
        };
        assert_eq!(counted("GET", "/v1/snapshot/blob/00"), (false, false));
        for (method, path) in [("GET", "/v1/snapshot"), ("GET", "/api/ssh/keys"), ("PUT", "/api/operator/daemons/a")] {
            assert_eq!(counted(method, path), (true, false), "{method} {path}");
        }
        for (method, path) in [("POST", "/api/ssh/keys"), ("DELETE", "/api/ssh/keys/SHA256:x")] {
            assert_eq!(counted(method, path), (true, true), "{method} {path}");
        }
    }
}

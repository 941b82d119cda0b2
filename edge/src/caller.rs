//! Whom a call is counted for.

use crate::{api::bearer, names::BLOB_PATH};
use axum::http::request::Parts;
use drawbridge_shared::token::TokenHash;
use std::net::IpAddr;

/// What one caller has at their choice counts as one: of IPv6, the network of 64 bits, unless it is that of IPv4's addresses.
pub fn source(address: &str) -> String {
    let Ok(IpAddr::V6(ip)) = address.parse() else { return address.into() };
    match ip.to_bits() >> 64 {
        0 => address.into(),
        network => (network as u64).to_string(),
    }
}

/// The token that a call counts for, if any: how many shards a daemon has to fetch is up to those who change keys, and their
/// calls are counted.
pub fn token(parts: &Parts) -> Option<TokenHash> {
    bearer(&parts.headers).ok().filter(|_| !parts.uri.path().starts_with(BLOB_PATH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;
    use drawbridge_shared::token::{Scope, Token};

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
    fn shards_are_not_counted_by_token() {
        let secret = Token::mint(Scope::Daemon, &[7; 32]);
        let counted = |path: &str, credentials: String| {
            let request = Request::get(path).header("authorization", credentials).body(()).unwrap();
            token(&request.into_parts().0)
        };
        let bearer = || format!("Bearer {}", secret.expose());
        assert_eq!(counted("/v1/snapshot", bearer()), Some(secret.hash()));
        assert_eq!(counted("/v1/snapshot/blob/00", bearer()), None);
        assert_eq!(counted("/v1/snapshot", "Bearer x".into()), None);
    }
}

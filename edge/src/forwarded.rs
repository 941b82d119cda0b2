//! What of a request goes on to the Ledger: as much as its router looks at, and nothing that the runtime would stumble over.

use crate::{
    limits::MAX_IMPORT,
    names::{FEED_PATH, IMPORT_PATH},
    problem::Failure,
};
use axum::http::{HeaderName, Method, header, request::Parts};
use drawbridge_shared::{api::MAX_BODY, token::TokenHash};

/// The methods that some address takes. The runtime's own requests make a GET of some others, and cannot be made of a few.
const TAKEN: [Method; 5] = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE];
/// The headers that a router looks at.
const KEPT: [HeaderName; 4] = [header::AUTHORIZATION, header::CONTENT_TYPE, header::IF_NONE_MATCH, header::UPGRADE];

/// Whether any address takes this method; what none takes needs no Ledger to be refused.
pub fn is_taken(method: &Method) -> bool {
    TAKEN.contains(method)
}

/// Refuses a wish to become a WebSocket where nothing does. The runtime makes a GET of every request that has one, wherever it
/// passes it on, and may have done so before we see it: a DELETE would be answered as a GET, and delete nothing.
pub fn check_upgrade(parts: &Parts) -> Result<(), Failure> {
    let wants = parts.headers.get(header::UPGRADE).is_some_and(|wanted| wanted.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if !wants || upgrades(parts) {
        return Ok(());
    }
    let advice = "Nothing was done. Leave out the header 'Upgrade': only GET /v1/feed takes it.";
    Err(Failure::bad("This address is no WebSocket").advice(advice))
}

/// The headers that go on; whoever wants another upgrade than the feed's asks in vain.
pub fn headers(parts: &Parts) -> impl Iterator<Item = (HeaderName, &str)> {
    let kept = KEPT.into_iter().filter(|name| *name != header::UPGRADE || upgrades(parts));
    kept.filter_map(|name| parts.headers.get(&name)?.to_str().ok().map(|value| (name, value)))
}

fn upgrades(parts: &Parts) -> bool {
    parts.method == Method::GET && parts.uri.path() == FEED_PATH
}

/// Bytes of a body that the router looks at, and one more so that it can tell: none where no token is shown.
pub fn enough(parts: &Parts, token: Option<TokenHash>) -> usize {
    let most = if parts.uri.path() == IMPORT_PATH { MAX_IMPORT } else { MAX_BODY };
    token.map_or(0, |_| most.saturating_add(1))
}

/// The body that goes on. The runtime makes no GET and no HEAD with one, and no address reads it.
pub fn body<'a>(method: &Method, body: &'a [u8]) -> Option<&'a [u8]> {
    let has_one = !body.is_empty() && *method != Method::GET && *method != Method::HEAD;
    has_one.then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;
    use drawbridge_shared::token::{Scope, Token};

    fn parts(method: &str, path: &str, upgrade: &str) -> Parts {
        let request = Request::builder().method(method).uri(path).header("authorization", "Bearer x");
        request.header("upgrade", upgrade).header("cookie", "a=b").body(()).unwrap().into_parts().0
    }

    fn names(parts: &Parts) -> Vec<HeaderName> {
        headers(parts).map(|(name, _)| name).collect()
    }

    #[test]
    fn a_body_is_read_as_far_as_somebody_looks_at_it() {
        let most = |path: &str, token: Option<TokenHash>| enough(&Request::post(path).body(()).unwrap().into_parts().0, token);
        let token = Some(Token::mint(Scope::Operator, &[7; 32]).hash());
        assert_eq!(most("/api/ssh/keys", token), MAX_BODY + 1);
        assert_eq!(most("/api/operator/import?x", token), MAX_IMPORT + 1);
        assert_eq!((most("/api/operator/import", None), most("/api/ssh/keys", None)), (0, 0));
    }

    #[test]
    fn only_a_get_of_the_feed_is_upgraded() {
        for path in ["/v1/feed", "/v1/feed?x"] {
            let parts = parts("GET", path, "websocket");
            assert!(check_upgrade(&parts).is_ok());
            assert_eq!(names(&parts), [header::AUTHORIZATION, header::UPGRADE]);
        }
        let others = [("HEAD", "/v1/feed"), ("POST", "/v1/feed"), ("GET", "/api/ssh/keys"), ("DELETE", "/api/ssh/keys")];
        for (method, path) in others {
            assert!(check_upgrade(&parts(method, path, "WebSocket")).is_err(), "{method} {path}");
            let another = parts(method, path, "h2c");
            assert!(check_upgrade(&another).is_ok(), "{method} {path}");
            assert_eq!(names(&another), [header::AUTHORIZATION], "{method} {path}");
        }
    }

    #[test]
    fn a_get_and_a_head_have_no_body() {
        for (method, goes_on) in [("GET", false), ("HEAD", false), ("POST", true), ("PUT", true), ("DELETE", true)] {
            let method = method.parse().unwrap();
            assert_eq!(body(&method, b"{}").is_some(), goes_on, "{method}");
            assert!(body(&method, b"").is_none() && is_taken(&method));
        }
        for method in ["OPTIONS", "PATCH", "TRACE", "CONNECT", "QUERY"] {
            assert!(!is_taken(&method.parse().unwrap()), "{method}");
        }
    }
}

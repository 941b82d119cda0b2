//! A request before it is understood: its parts, and the ways to read them that cannot go wrong silently.

use super::Platform;
use crate::{
    command::PageOf,
    limits::{MAX_CURSOR, MAX_IMPORT, MAX_PAGE, PAGE},
    problem::Failure,
};
use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, RawPathParams, Request},
    http::{HeaderMap, HeaderName, StatusCode, Uri, header},
};
use drawbridge_shared::{
    api::MAX_BODY,
    key::KeyFault,
    token::{Token, TokenHash},
};
use serde::de::DeserializeOwned;
use std::str::FromStr;

/// What a request says.
pub(super) struct Asked {
    /// Of the bearer token.
    pub(super) token: TokenHash,
    /// Randomness fit for secrets, for whatever needs it.
    pub(super) random: [u8; 32],
    params: Vec<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, Failure>,
}

/// What a body looks like, for whoever sent another.
pub(super) trait Shape {
    /// An example.
    const EXAMPLE: &str;
}

impl Asked {
    /// Reads a request; without a token that looks like one, nothing of it is read.
    pub(super) async fn read<P: Platform>(platform: &P, request: Request) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let (token, random) = (bearer(&parts.headers)?, platform.random()?);
        let params = RawPathParams::from_request_parts(&mut parts, &()).await;
        let params = params.map_err(|_| Failure::bad("The address is not valid UTF-8 behind its escapes"))?;
        let params = params.iter().map(|(_, value)| value.to_owned()).collect();
        let (uri, headers) = (parts.uri.clone(), parts.headers.clone());
        let body = Bytes::from_request(Request::from_parts(parts, body), &()).await;
        let body = body.map_err(|rejection| unread(rejection.status(), &headers));
        Ok(Self { token, random, params, uri, headers, body })
    }

    /// The path's parameter number `at`, counted from 0.
    pub(super) fn param(&self, at: usize) -> &str {
        self.params.get(at).map_or("", String::as_str)
    }

    /// The same as an id.
    pub(super) fn id<T: FromStr>(&self, at: usize) -> Result<T, Failure>
    where
        Failure: From<T::Err>,
    {
        Ok(self.param(at).parse()?)
    }

    /// The first value that the query has for `name`; a plus sign stands for a blank there.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        let pairs = form_urlencoded::parse(self.uri.query().unwrap_or_default().as_bytes());
        pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// A header's text.
    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// `?cursor=&limit=`
    pub(super) fn page(&self) -> Result<PageOf, Failure> {
        let cursor = self.query("cursor").filter(|cursor| !cursor.is_empty());
        let usable = |cursor: &String| cursor.len() <= MAX_CURSOR && cursor.bytes().all(|byte| byte.is_ascii_graphic());
        if !cursor.iter().all(usable) {
            return Err(Failure::bad("The cursor is not one that a list returned"));
        }
        let limit = self.query("limit").map(|limit| limit.parse().map_err(|_| Failure::bad("The limit is not a number")));
        Ok(PageOf { cursor, limit: limit.transpose()?.unwrap_or(PAGE).clamp(1, MAX_PAGE) })
    }

    /// A JSON body.
    pub(super) fn json<T: DeserializeOwned + Shape>(&self) -> Result<T, Failure> {
        let body = self.json_bytes()?;
        serde_json::from_slice(body).map_err(|fault| unreadable(body, &fault, T::EXAMPLE))
    }

    /// A JSON body that may be left out.
    pub(super) fn json_if_any<T: DeserializeOwned + Shape>(&self) -> Result<Option<T>, Failure> {
        if self.bytes()?.is_empty() { Ok(None) } else { self.json().map(Some) }
    }

    /// A body of lines, each a JSON object.
    pub(super) fn lines(&self) -> Result<&[u8], Failure> {
        if is_lines(&self.headers) {
            return self.bytes();
        }
        let failure = Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body must be lines of JSON");
        Err(failure.advice("Send the header 'Content-Type: application/x-ndjson'."))
    }

    fn json_bytes(&self) -> Result<&[u8], Failure> {
        let essence = content_type(&self.headers);
        let suits = essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
        if suits {
            return self.bytes();
        }
        let failure = Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body must be JSON");
        Err(failure.advice("Send the header 'Content-Type: application/json'."))
    }

    fn bytes(&self) -> Result<&[u8], Failure> {
        self.body.as_deref().map_err(Clone::clone)
    }
}

/// The token of a request, if it bears one of ours; nothing is looked up.
pub fn bearer(headers: &HeaderMap) -> Result<TokenHash, Failure> {
    let header = headers.get(header::AUTHORIZATION).ok_or_else(|| Failure::unauthorized("A token is required"))?;
    let credentials = header.to_str().ok().and_then(|text| text.trim().split_once(' '));
    let token = credentials.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    let token = token.ok_or_else(|| Failure::unauthorized("A bearer token is required"))?;
    let token: Token = token.parse().map_err(|_| Failure::unauthorized("This is not a Drawbridge token"))?;
    Ok(token.hash())
}

/// A body's media type without its parameters, in lower case.
fn content_type(headers: &HeaderMap) -> String {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_lines(headers: &HeaderMap) -> bool {
    ["application/x-ndjson", "application/ndjson", "application/jsonl"].contains(&&*content_type(headers))
}

/// A body that is too long, or that broke off.
fn unread(status: StatusCode, headers: &HeaderMap) -> Failure {
    if status != StatusCode::PAYLOAD_TOO_LARGE {
        return Failure::bad("The body cannot be read");
    }
    let most = if is_lines(headers) { MAX_IMPORT } else { MAX_BODY };
    Failure::new(status, "The body is too large").advice(format!("A body may have {most} bytes."))
}

/// serde's own words may quote the body, and the body may be a secret.
fn unreadable(bytes: &[u8], fault: &serde_json::Error, example: &str) -> Failure {
    if bytes.windows(11).any(|window| window == b"PRIVATE KEY") {
        return KeyFault::Private.into();
    }
    let title = if fault.is_data() { "The body has another shape than expected" } else { "The body is not valid JSON" };
    let (line, column) = (fault.line(), fault.column());
    Failure::bad(title).advice(format!("Look at line {line}, column {column}. Expected: {example}"))
}

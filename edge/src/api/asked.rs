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
    key::{KeyFault, holds_private_key},
    token::{Token, TokenHash},
};
use serde::de::DeserializeOwned;
use std::{
    num::{IntErrorKind, ParseIntError},
    str::FromStr,
};

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

    /// The first value that the query has for `name`; an empty one is none, and a plus sign stands for a blank.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        let pairs = form_urlencoded::parse(self.uri.query().unwrap_or_default().as_bytes());
        pairs.into_iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.into_owned())
    }

    /// A header's text.
    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// `?cursor=&limit=`
    pub(super) fn page(&self) -> Result<PageOf, Failure> {
        let cursor = self.query("cursor");
        let usable = |cursor: &String| cursor.len() <= MAX_CURSOR && cursor.bytes().all(|byte| byte.is_ascii_graphic());
        if !cursor.iter().all(usable) {
            return Err(Failure::bad("The cursor is not one that a list returned"));
        }
        let limit = self.query("limit").map(|limit| number(&limit)).transpose()?;
        Ok(PageOf { cursor, limit: limit.unwrap_or(PAGE).clamp(1, MAX_PAGE) })
    }

    /// A JSON object.
    pub(super) fn json<T: DeserializeOwned + Shape>(&self) -> Result<T, Failure> {
        let body = self.json_bytes(T::EXAMPLE)?;
        serde_json::from_slice(body).map_err(|fault| unreadable(body, Some(&fault), T::EXAMPLE))
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

    fn json_bytes(&self, example: &str) -> Result<&[u8], Failure> {
        let essence = content_type(&self.headers);
        let suits = essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
        if !suits {
            let failure = Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body must be JSON");
            return Err(failure.advice("Send the header 'Content-Type: application/json'."));
        }
        let body = self.bytes()?;
        if is_object(body) { Ok(body) } else { Err(unreadable(body, None, example)) }
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

/// Whether `json` is an object. serde reads a list of the fields in its place, which nobody means.
pub(super) fn is_object(json: &[u8]) -> bool {
    json.trim_ascii_start().first() == Some(&b'{')
}

/// A number of any size; what is beyond all bounds stands for the largest.
fn number(text: &str) -> Result<usize, Failure> {
    text.parse().or_else(|fault: ParseIntError| match fault.kind() {
        IntErrorKind::PosOverflow => Ok(usize::MAX),
        _ => Err(Failure::bad("The limit is not a number")),
    })
}

/// serde's own words may quote the body, and the body may be a secret. Without a fault of serde's it is no object.
fn unreadable(bytes: &[u8], fault: Option<&serde_json::Error>, example: &str) -> Failure {
    if holds_private_key(bytes) {
        return KeyFault::Private.into();
    }
    let Some(fault) = fault else {
        return Failure::bad("The body is not a JSON object").advice(format!("Expected: {example}"));
    };
    let title = if fault.is_data() { "The body has another shape than expected" } else { "The body is not valid JSON" };
    let (line, column) = (fault.line(), fault.column());
    Failure::bad(title).advice(format!("Look at line {line}, column {column}. Expected: {example}"))
}

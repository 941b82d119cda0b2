//! From requests to values that cannot be wrong; every rejection is a [`Failure`].

use super::Platform;
use crate::{
    command::{Call, Command, Outcome, PageOf},
    limits::{MAX_CURSOR, MAX_PAGE, PAGE},
    problem::Failure,
};
use axum::{
    body::{Bytes, HttpBody},
    extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use drawbridge_shared::{
    api::MAX_BODY,
    key::KeyFault,
    token::{Token, TokenHash},
};
use serde::{Deserialize, de::DeserializeOwned};

/// Whoever calls, and the Ledger, which says what the token is worth.
pub(super) struct Caller<P> {
    pub(super) platform: P,
    pub(super) token: TokenHash,
}

impl<P: Platform> Caller<P> {
    /// Asks the Ledger.
    pub(super) async fn ask(&self, command: impl Into<Command>) -> Result<Outcome, Failure> {
        Ok(self.platform.ledger(self.call(command)).await??)
    }

    /// For a command whose only good answer is "done".
    pub(super) async fn done(&self, command: impl Into<Command>) -> Result<StatusCode, Failure> {
        match self.ask(command).await? {
            Outcome::Done => Ok(StatusCode::NO_CONTENT),
            _ => Err(super::unexpected()),
        }
    }

    pub(super) fn call(&self, command: impl Into<Command>) -> Call {
        Call { token: self.token, command: command.into() }
    }
}

impl<P: Platform> FromRequestParts<P> for Caller<P> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, platform: &P) -> Result<Self, Failure> {
        Ok(Self { platform: platform.clone(), token: bearer(&parts.headers)? })
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

/// What a body looks like, for whoever sent another.
pub(super) trait Shape {
    /// An example.
    const EXAMPLE: &str;
}

/// A JSON body.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned + Shape, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        require_json(request.headers())?;
        let bytes = Bytes::from_request(request, state).await.map_err(|fault| unread(&fault, MAX_BODY))?;
        serde_json::from_slice(&bytes).map(Self).map_err(|fault| unreadable::<T>(&bytes, &fault))
    }
}

/// A JSON body that may be left out.
pub(super) struct MaybeJson<T>(pub(super) Option<T>);

impl<T: DeserializeOwned + Shape, S: Send + Sync> FromRequest<S> for MaybeJson<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        if request.body().is_end_stream() {
            return Ok(Self(None));
        }
        Json::from_request(request, state).await.map(|Json(body)| Self(Some(body)))
    }
}

fn require_json(headers: &HeaderMap) -> Result<(), Failure> {
    let essence = content_type(headers);
    let suits = essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    let failure = || Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body must be JSON");
    suits.then_some(()).ok_or_else(|| failure().advice("Send the header 'Content-Type: application/json'."))
}

/// A body's media type without its parameters, in lower case.
pub(super) fn content_type(headers: &HeaderMap) -> String {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// A body longer than `most` bytes, or one that broke off.
pub(super) fn unread(rejection: &BytesRejection, most: usize) -> Failure {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large").advice(format!("A body may have {most} bytes."))
        }
        _ => Failure::bad("The body cannot be read"),
    }
}

/// serde's own words may quote the body, and the body may be a secret.
fn unreadable<T: Shape>(bytes: &[u8], fault: &serde_json::Error) -> Failure {
    if bytes.windows(11).any(|window| window == b"PRIVATE KEY") {
        return KeyFault::Private.into();
    }
    let title = if fault.is_data() { "The body has another shape than expected" } else { "The body is not valid JSON" };
    let (line, column) = (fault.line(), fault.column());
    Failure::bad(title).advice(format!("Look at line {line}, column {column}. Expected: {}", T::EXAMPLE))
}

/// Path parameters.
pub(super) struct InPath<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(_) => Err(Failure::bad("The address is not valid UTF-8 behind its escapes")),
        }
    }
}

/// Query parameters.
pub(super) struct InQuery<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InQuery<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(_) => Err(Failure::bad("The query cannot be read")),
        }
    }
}

/// `?cursor=&limit=`
#[derive(Deserialize)]
pub(super) struct PageQuery {
    cursor: Option<String>,
    limit: Option<usize>,
}

impl TryFrom<PageQuery> for PageOf {
    type Error = Failure;

    fn try_from(query: PageQuery) -> Result<Self, Failure> {
        let cursor = query.cursor.filter(|cursor| !cursor.is_empty());
        let usable = |cursor: &String| cursor.len() <= MAX_CURSOR && cursor.bytes().all(|byte| byte.is_ascii_graphic());
        if !cursor.iter().all(usable) {
            return Err(Failure::bad("The cursor is not one that a list returned"));
        }
        Ok(Self { cursor, limit: query.limit.unwrap_or(PAGE).clamp(1, MAX_PAGE) })
    }
}

/// The `If-None-Match` header.
pub(super) fn if_none_match(headers: &HeaderMap) -> Option<String> {
    headers.get(header::IF_NONE_MATCH).and_then(|held| held.to_str().ok()).map(str::to_owned)
}

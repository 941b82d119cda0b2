//! Every answer above 399: what went wrong and what to do, as the contract's JSON with a trace id.

use crate::{
    api::Platform,
    limits::{LIMIT_PAUSE, RETRY_AFTER},
    names::FEED_PATH,
    refusal::Refusal,
};
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use drawbridge_shared::{
    api::{ImportFailure, Problem},
    hex,
    id::IdFault,
    key::KeyFault,
};

const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// A failed request, before it gets its trace id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    status: StatusCode,
    title: String,
    detail: Option<String>,
    cause: Option<String>,
}

impl Failure {
    /// What happened, in words for whoever called.
    pub fn new(status: StatusCode, title: impl Into<String>) -> Self {
        Self { status, title: title.into(), detail: None, cause: None }
    }

    /// A fault in the request itself.
    pub fn bad(title: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, title)
    }

    /// What to do about it.
    pub fn advice(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// No or no good token.
    pub fn unauthorized(title: &str) -> Self {
        let advice = "Send the header 'Authorization: Bearer <token>' with a Drawbridge token.";
        Self::new(StatusCode::UNAUTHORIZED, title).advice(advice)
    }

    /// The Ledger or KV cannot be reached.
    pub fn unavailable(cause: String) -> Self {
        let advice = "Try again in a moment. Logins are not affected. A change that was asked for may have been made; asking again is safe.";
        let failure = Self::new(StatusCode::SERVICE_UNAVAILABLE, "The edge's Ledger cannot be reached").advice(advice);
        Self { cause: Some(cause), ..failure }
    }

    /// More calls than anybody needs.
    pub fn too_often() -> Self {
        let advice = "Wait as long as the 'Retry-After' header says. For many keys at once there is POST /api/operator/import.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "Too many calls").advice(advice)
    }

    /// A fault of our own.
    pub fn internal(cause: &str) -> Self {
        let failure = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal error");
        Self { cause: Some(cause.into()), ..failure.advice("This is a fault in the edge. If it stays, quote the traceId.") }
    }

    /// The same, about one line of many.
    pub fn of_line(self, line: usize) -> ImportFailure {
        ImportFailure { line, status: self.status.as_u16(), title: self.title, detail: self.detail }
    }

    fn of_status(status: StatusCode) -> Self {
        Self::new(status, status.canonical_reason().unwrap_or("Error"))
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let cause = if let Refusal::Storage(cause) = &refusal { Some(cause.clone()) } else { None };
        Self { status: refusal.status(), title: refusal.to_string(), detail: refusal.detail(), cause }
    }
}

impl From<KeyFault> for Failure {
    fn from(fault: KeyFault) -> Self {
        Self::bad(fault.to_string()).advice(fault.advice())
    }
}

impl From<IdFault> for Failure {
    fn from(fault: IdFault) -> Self {
        Self::bad("This is not a valid id").advice(fault.to_string())
    }
}

impl IntoResponse for Failure {
    /// Only [`finish`] knows randomness: until then the failure travels beside an empty body.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Turns every failure into the contract's problem, whoever raised it, and logs those that are ours.
pub async fn finish<P: Platform>(State(platform): State<P>, request: Request, next: Next) -> Response {
    let (method, is_feed) = (request.method().clone(), request.uri().path() == FEED_PATH);
    let mut response = next.run(request).await;
    let status = response.status();
    if status == StatusCode::METHOD_NOT_ALLOWED && is_feed {
        // Its GET becomes a WebSocket, which has no HEAD; axum names both.
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED && method == Method::OPTIONS {
        return options(response);
    }
    if status.is_client_error() || status.is_server_error() { problem(&platform, response) } else { response }
}

/// The problem for a request that no router saw.
pub fn answer<P: Platform>(platform: &P, failure: Failure) -> Response {
    problem(platform, failure.into_response())
}

/// The `Allow` header is the answer.
fn options(mut response: Response) -> Response {
    *response.status_mut() = StatusCode::NO_CONTENT;
    *response.body_mut() = Body::empty();
    response
}

fn problem<P: Platform>(platform: &P, mut response: Response) -> Response {
    let status = response.status();
    let failure = response.extensions_mut().remove().unwrap_or_else(|| Failure::of_status(status));
    let trace_id = trace_id(platform);
    if status.is_server_error() {
        let cause = failure.cause.as_deref().unwrap_or("no cause given");
        platform.log(&format!("trace {trace_id}: {status}: {}: {cause}", failure.title));
    }
    let problem = Problem { status: status.as_u16(), title: failure.title, detail: failure.detail, trace_id };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, MEDIA_TYPE);
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    headers.remove(header::CONTENT_LENGTH);
    match status {
        StatusCode::UNAUTHORIZED => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER));
        }
        StatusCode::TOO_MANY_REQUESTS => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(LIMIT_PAUSE));
        }
        _ => {}
    }
    *response.body_mut() = Body::from(serde_json::to_vec(&problem).unwrap_or_default());
    response
}

fn trace_id<P: Platform>(platform: &P) -> String {
    let random = platform.random().unwrap_or_default();
    hex::encode(random.first_chunk::<8>().unwrap_or(&[0; 8]))
}

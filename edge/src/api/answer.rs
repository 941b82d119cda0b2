//! From what the Ledger granted to HTTP: one place that knows statuses, media types and caches.

use super::user;
use crate::{
    command::{File, Outcome, Put},
    problem::Failure,
};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use drawbridge_shared::{api::MintedToken, snapshot::Manifest, token::Token};
use serde::Serialize;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// Nothing of it may be kept by anybody in between.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// It may be kept, and has to be asked about.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("private, no-cache");
const FOR_EVER: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");

/// The answer that brings `outcome`, and `secret` with a token that was just minted.
pub(super) fn answer(outcome: Outcome, secret: Option<&Token>) -> Result<Response, Failure> {
    match outcome {
        Outcome::Done => Ok(StatusCode::NO_CONTENT.into_response()),
        Outcome::Key(item) => json(StatusCode::CREATED, &item),
        Outcome::Keys(items) => json(StatusCode::OK, &items),
        Outcome::Token(item) => {
            let token = secret.ok_or_else(|| Failure::internal("a token without its secret"))?.expose().into();
            json(StatusCode::CREATED, &MintedToken { token, item })
        }
        Outcome::Tokens(page) => json(StatusCode::OK, &page),
        Outcome::Workspace(item) => put(&item),
        Outcome::Workspaces(page) => json(StatusCode::OK, &page),
        Outcome::Members(page) => json(StatusCode::OK, &page),
        Outcome::Daemon(item) => put(&item),
        Outcome::Daemons(page) => json(StatusCode::OK, &page),
        Outcome::Region(item) => put(&item),
        Outcome::Regions(page) => json(StatusCode::OK, &page),
        Outcome::UserWorkspaces(page) => json(StatusCode::OK, &page),
        Outcome::Access(access, File::Config) => Ok(written(TEXT, NO_STORE, user::config(&access).into_bytes())),
        Outcome::Access(access, File::KnownHosts) => {
            Ok(written(TEXT, NO_STORE, user::known_hosts(&access).ok_or_else(user::no_host_ca)?.into_bytes()))
        }
        Outcome::Enrolled(enrolled) => json(StatusCode::OK, &enrolled),
        Outcome::HostCertificate(certificate) => json(StatusCode::OK, &certificate),
        Outcome::Document { text, etag } => Ok(document(text, &etag)),
        Outcome::Manifest { text, seq } => Ok(document(text, &Manifest::etag(seq))),
        Outcome::Unchanged { etag } => Ok(tagged(StatusCode::NOT_MODIFIED.into_response(), &etag)),
        Outcome::Blob(bytes) => Ok(written(BYTES, FOR_EVER, bytes)),
        Outcome::Imported(_) => Err(Failure::internal("the Ledger answered another question")),
    }
}

fn put<T: Serialize>(put: &Put<T>) -> Result<Response, Failure> {
    json(if put.created { StatusCode::CREATED } else { StatusCode::OK }, &put.item)
}

/// `body` as JSON.
pub(super) fn json<T: Serialize>(status: StatusCode, body: &T) -> Result<Response, Failure> {
    let bytes = serde_json::to_vec(body).map_err(|_| Failure::internal("an answer cannot be written as JSON"))?;
    Ok(with_status(status, json_text(bytes)))
}

/// JSON that is written already.
pub(super) fn json_text(bytes: Vec<u8>) -> Response {
    written(JSON, NO_STORE, bytes)
}

fn with_status(status: StatusCode, mut response: Response) -> Response {
    *response.status_mut() = status;
    response
}

fn written(kind: HeaderValue, cache: HeaderValue, bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, cache)], bytes).into_response()
}

/// A signed document and its tag.
fn document(text: String, etag: &str) -> Response {
    tagged(written(TEXT, ASK_AGAIN, text.into_bytes()), etag)
}

fn tagged(mut response: Response, etag: &str) -> Response {
    let etag = HeaderValue::try_from(etag).unwrap_or_else(|_| HeaderValue::from_static("\"\""));
    response.headers_mut().insert(header::ETAG, etag);
    response.headers_mut().insert(header::CACHE_CONTROL, ASK_AGAIN);
    response
}

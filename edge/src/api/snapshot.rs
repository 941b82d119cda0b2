//! `/v1/snapshot` and `/v1/feed`: what daemons follow.

use super::{
    Platform, document,
    extract::{Caller, InPath, if_none_match},
    stale, unchanged, unexpected,
};
use crate::{
    command::{Outcome, SnapshotCommand},
    problem::Failure,
};
use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use drawbridge_shared::snapshot::BlobHash;

pub(super) async fn manifest<P: Platform>(caller: Caller<P>, headers: HeaderMap) -> Result<Response, Failure> {
    let held = if_none_match(&headers);
    match caller.platform.ledger(caller.call(SnapshotCommand::Manifest { held: held.clone() })).await {
        Ok(Ok(Outcome::Manifest { text, seq })) => Ok(document(text, &format!("\"{seq}\""))),
        Ok(Ok(Outcome::Unchanged { etag })) => Ok(unchanged(&etag)),
        Ok(Ok(_)) => Err(unexpected()),
        Ok(Err(refusal)) => Err(refusal.into()),
        Err(fault) => stale::manifest(&caller, held.as_deref(), fault).await,
    }
}

/// From KV, which is near; from the Ledger while KV does not have it yet.
pub(super) async fn blob<P: Platform>(caller: Caller<P>, InPath(hash): InPath<String>) -> Result<Response, Failure> {
    let hash = BlobHash::from_hex(&hash).ok_or_else(|| Failure::bad("A shard is named by 64 lower-case hex digits"))?;
    if let Some(bytes) = stale::blob(&caller, hash).await {
        return Ok(immutable(bytes));
    }
    match caller.ask(SnapshotCommand::Blob(hash)).await? {
        Outcome::Blob(bytes) => Ok(immutable(bytes)),
        _ => Err(unexpected()),
    }
}

pub(super) async fn feed<P: Platform>(caller: Caller<P>, headers: HeaderMap) -> Result<Response, Failure> {
    let wanted = headers.get(header::UPGRADE).and_then(|upgrade| upgrade.to_str().ok()).unwrap_or_default();
    if !wanted.eq_ignore_ascii_case("websocket") {
        return Err(Failure::new(StatusCode::UPGRADE_REQUIRED, "The feed is a WebSocket").advice("Poll /v1/snapshot instead."));
    }
    caller.platform.feed(caller.call(SnapshotCommand::Manifest { held: None })).await
}

fn immutable(bytes: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000, immutable")),
    ];
    (headers, bytes).into_response()
}

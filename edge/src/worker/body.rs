//! Bodies in and out of the runtime, whole: an answer that overtakes its request is lost on the way.

use crate::limits::DRAIN;
use ::worker::{Body as Incoming, Headers, Response, ResponseBuilder, Result, WebSocket};
use axum::{body::Body, http};
use futures_util::TryStreamExt;

/// The body's first `enough` bytes; the rest is thrown away.
pub(super) async fn read(mut incoming: Incoming, enough: usize) -> Result<Vec<u8>> {
    let (mut kept, mut seen) = (Vec::new(), 0_usize);
    while let Some(chunk) = incoming.try_next().await? {
        let room = enough.saturating_sub(kept.len()).min(chunk.len());
        kept.extend_from_slice(chunk.get(..room).unwrap_or_default());
        seen = seen.saturating_add(chunk.len());
        if seen > DRAIN {
            break;
        }
    }
    Ok(kept)
}

/// A router's answer: at hand as a whole, and so in one piece.
pub(super) async fn respond(answer: http::Response<Body>) -> Result<Response> {
    let (mut parts, body) = answer.into_parts();
    let headers = Headers::from(&parts.headers);
    let builder = ResponseBuilder::new().with_status(parts.status.as_u16()).with_headers(headers);
    if let Some(socket) = parts.extensions.remove::<WebSocket>() {
        return Ok(builder.with_websocket(socket).empty());
    }
    match axum::body::to_bytes(body, usize::MAX).await {
        Ok(bytes) if bytes.is_empty() => Ok(builder.empty()),
        Ok(bytes) => Ok(builder.fixed(bytes.into())),
        Err(fault) => Err(::worker::Error::RustError(fault.to_string())),
    }
}

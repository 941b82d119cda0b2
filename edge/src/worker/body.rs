//! Reads a request's body before anything is decided: an answer that overtakes its request is lost on the way.

use crate::limits::DRAIN;
use ::worker::{Body as Incoming, Result};
use axum::body::Body;
use drawbridge_shared::api::MAX_BODY;
use futures_util::TryStreamExt;

/// The body as far as the router looks at it, and one byte more so that it can tell; the rest is thrown away.
pub(super) async fn read(mut incoming: Incoming) -> Result<Body> {
    let enough = MAX_BODY.saturating_add(1);
    let (mut kept, mut seen) = (Vec::new(), 0_usize);
    while let Some(chunk) = incoming.try_next().await? {
        let room = enough.saturating_sub(kept.len()).min(chunk.len());
        kept.extend_from_slice(chunk.get(..room).unwrap_or_default());
        seen = seen.saturating_add(chunk.len());
        if seen > DRAIN {
            break;
        }
    }
    Ok(kept.into())
}

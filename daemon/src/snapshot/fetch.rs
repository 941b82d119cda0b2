//! From the edge to a view: the manifest first, then the shards it names that are not held, all checked.

use crate::{
    keyset::{KeySet, Shard},
    limits::PARALLEL_SHARDS,
};
use bytes::Bytes;
use drawbridge_shared::{
    native::{
        edge_client::{EdgeClient, EdgeFault, Fetched},
        state_dir::StateFault,
    },
    signed::TrustRoots,
    snapshot::{MAX_MANIFEST, Manifest, ShardRef, SnapshotFault},
    time::Timestamp,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::header::HeaderValue;
use std::time::Duration;

/// Why there is no new view.
#[derive(Debug, thiserror::Error)]
pub enum FetchFault {
    /// The edge does not deliver.
    #[error(transparent)]
    Edge(#[from] EdgeFault),
    /// What it delivers is not believed.
    #[error("the edge's snapshot is refused: {0}")]
    Snapshot(#[from] SnapshotFault),
    /// It cannot be kept.
    #[error(transparent)]
    State(#[from] StateFault),
}

/// A new view, and the bytes that came with it.
pub(super) struct Next {
    pub(super) view: KeySet,
    pub(super) fresh: Vec<(ShardRef, Bytes)>,
}

/// The manifest's text and its ETag, unless the held one is current.
pub(super) async fn manifest(
    edge: &EdgeClient,
    etag: Option<&HeaderValue>,
) -> Result<Option<(Option<HeaderValue>, String)>, FetchFault> {
    match edge.get("v1/snapshot", etag, MAX_MANIFEST).await? {
        Fetched::Unchanged => Ok(None),
        Fetched::New { etag, body } => {
            let text = String::from_utf8(body.into()).map_err(|_| EdgeFault::Unreadable)?;
            Ok(Some((etag, text)))
        }
    }
}

/// The view that the manifest in `text` describes; `None` when it is the held one.
pub(super) async fn view(
    edge: &EdgeClient,
    trust: &TrustRoots,
    held: &KeySet,
    text: &str,
    now: Timestamp,
) -> Result<Option<Next>, FetchFault> {
    let manifest = Manifest::verify(text, trust, now, held.seq(), Duration::ZERO)?;
    if manifest.seq == held.seq() {
        return Ok(None);
    }
    let missing = held.missing(&manifest);
    let fetches = missing.into_iter().map(|reference| blob(edge, reference));
    let fresh: Vec<_> = stream::iter(fetches).buffer_unordered(PARALLEL_SHARDS).try_collect().await?;
    let shards = fresh.iter().map(|(reference, bytes)| Shard::open(*reference, bytes.clone()));
    let view = held.next(manifest, shards.collect::<Result<_, _>>()?)?;
    Ok(Some(Next { view, fresh }))
}

async fn blob(edge: &EdgeClient, reference: ShardRef) -> Result<(ShardRef, Bytes), FetchFault> {
    let path = format!("v1/snapshot/blob/{}", reference.sha256);
    match edge.get(&path, None, reference.length as usize).await? {
        Fetched::New { body, .. } => Ok((reference, body)),
        Fetched::Unchanged => Err(EdgeFault::Unreadable.into()),
    }
}

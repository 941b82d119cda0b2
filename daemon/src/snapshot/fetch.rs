//! From the edge to a view: the manifest first, then the shards it names that are not held, all checked.

use crate::{
    keyset::{KeySet, Shard},
    limits::PARALLEL_SHARDS,
};
use bytes::Bytes;
use drawbridge_shared::{
    id::SnapshotSeq,
    native::{
        edge_client::{EdgeClient, EdgeFault, Fetched},
        state_dir::StateFault,
    },
    signed::TrustRoots,
    snapshot::{MAX_MANIFEST, Manifest, ShardRef, SnapshotFault},
    time::Timestamp,
};
use futures_util::{StreamExt, stream};
use reqwest::header::HeaderValue;
use std::{mem, sync::Arc, time::Duration};
use tokio::task;

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

impl FetchFault {
    /// The edge's words, where it refuses the token.
    pub(super) fn turns_down(&self) -> Option<Arc<str>> {
        match self {
            Self::Edge(fault @ EdgeFault::Refused { status: 401, .. }) => Some(fault.to_string().into()),
            _ => None,
        }
    }

    /// What is the same as long as nothing new is the matter.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::Snapshot(fault) => fault.disbelief().label().into(),
            Self::Edge(fault) => fault.kind(),
            Self::State(fault) => fault.to_string(),
        }
    }
}

/// By what a manifest is believed.
#[derive(Clone, Copy)]
pub(super) struct Belief<'a> {
    pub(super) roots: &'a TrustRoots,
    /// Its number at least.
    pub(super) lowest: SnapshotSeq,
    pub(super) now: Timestamp,
    /// Past a snapshot's end.
    pub(super) grace: Duration,
}

/// A new view, and the bytes that came with it.
pub(super) struct Next {
    pub(super) view: KeySet,
    pub(super) fresh: Vec<(ShardRef, Bytes)>,
}

/// A shard that came and was checked.
pub(super) type Fresh = (Shard, (ShardRef, Bytes));

/// The manifest's text, unless the held one is current.
pub(super) async fn manifest(edge: &EdgeClient, etag: Option<&HeaderValue>) -> Result<Option<String>, FetchFault> {
    match edge.get("v1/snapshot", etag, MAX_MANIFEST).await? {
        Fetched::Unchanged => Ok(None),
        Fetched::New { body, .. } => Ok(Some(String::from_utf8(body.into()).map_err(|_| EdgeFault::Unreadable)?)),
    }
}

/// The view that the manifest in `text` describes; `None` when it is the held one. Shards that came before one that did not
/// stay in `arrived`, for the next try: an edge that says "not so often" is asked for less each time.
pub(super) async fn view(
    edge: &EdgeClient,
    Belief { roots, lowest, now, grace }: Belief<'_>,
    (held, arrived): (&KeySet, &mut Vec<Fresh>),
    text: &str,
) -> Result<Option<Next>, FetchFault> {
    let manifest = Manifest::verify(text, roots, now, lowest, grace)?;
    // One that is held and is no guard any more makes room for whatever is believed, under its number too.
    if manifest.seq == held.seq() && held.seq() == lowest {
        return Ok(None);
    }
    let mut missing = held.missing(&manifest);
    arrived.retain(|(_, (reference, _))| missing.contains(reference));
    missing.retain(|reference| arrived.iter().all(|(_, (there, _))| there != reference));
    let mut fetches = stream::iter(missing.into_iter().map(|reference| shard(edge, reference))).buffer_unordered(PARALLEL_SHARDS);
    while let Some(fetched) = fetches.next().await {
        arrived.push(fetched?);
    }
    let (shards, fresh) = mem::take(arrived).into_iter().unzip();
    Ok(Some(Next { view: held.next(manifest, shards)?, fresh }))
}

/// Hashed and read on a thread of its own, so that many go on at once and logins beside them.
async fn shard(edge: &EdgeClient, reference: ShardRef) -> Result<Fresh, FetchFault> {
    let path = format!("v1/snapshot/blob/{}", reference.sha256);
    let Fetched::New { body, .. } = edge.get(&path, None, reference.length as usize).await? else {
        return Err(EdgeFault::Unreadable.into());
    };
    let bytes = body.clone();
    let opened = task::spawn_blocking(move || Shard::open(reference, bytes)).await;
    let shard = opened.map_err(|_| SnapshotFault::BrokenShard(reference.sha256))??;
    Ok((shard, (reference, body)))
}

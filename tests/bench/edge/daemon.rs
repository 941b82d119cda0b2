//! The daemon's part, in this process: lookups, and one change applied.

use crate::{
    ledger::{Changes, cpu},
    million::{Million, fingerprint},
};
use anyhow::{Context, Result, ensure};
use drawbridge_daemon::keyset::{Concerned, KeySet, Shard};
use drawbridge_shared::{fingerprint::Fingerprint, id::SnapshotSeq, snapshot::Manifest};
use e2e::figures::{Figure, Goal};
use sha2::{Digest, Sha256};
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

/// Rounds of lookups, hits and misses in turn.
const ROUNDS: usize = 15;
/// Lookups of one round.
const LOOKUPS: usize = 200_000;

/// The view of all keys.
pub(crate) fn open(million: &Million) -> Result<KeySet> {
    let manifest = Manifest::verify(&million.manifest, &million.trust()?, million.now, SnapshotSeq(0), Duration::ZERO)?;
    let shards = manifest.shards.iter().map(|reference| {
        let bytes = million.blobs.get(&reference.sha256).context("a shard is missing")?;
        Ok(Shard::open(*reference, bytes.clone().into())?)
    });
    let shards = shards.collect::<Result<_>>()?;
    Ok(KeySet::default().next(manifest, shards)?)
}

/// Nanoseconds of CPU a lookup, of keys that are there and of others.
pub(crate) fn lookups(million: &Million, view: &KeySet) -> Result<Vec<Figure>> {
    let hits: Vec<_> = (0..LOOKUPS).map(|n| fingerprint(n * 7919 % million.keys)).collect();
    let misses: Vec<_> = (0..LOOKUPS).map(|n| Fingerprint(Sha256::digest(format!("miss {n}")).into())).collect();
    let (mut of_hits, mut of_misses) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        of_hits.push(round(million, view, &hits, LOOKUPS)?);
        of_misses.push(round(million, view, &misses, 0)?);
    }
    let what = |kind: &str| format!("lookup of a key at {} keys, {kind}: CPU", million.keys);
    Ok(vec![
        Figure::new(what("found"), "ns", of_hits, Goal::Median(300.0))?,
        Figure::new(what("not found"), "ns", of_misses, Goal::Median(300.0))?,
    ])
}

fn round(million: &Million, view: &KeySet, keys: &[Fingerprint], expected: usize) -> Result<f64> {
    let begun = cpu();
    let found: usize = keys.iter().map(|key| black_box(view.users(key, million.now).count())).sum();
    let took = cpu() - begun;
    ensure!(found == expected, "{found} of {expected} keys were found");
    Ok(took.as_nanos() as f64 / keys.len() as f64)
}

/// Milliseconds from a manifest and its shard, as they come, to a new view and the workspaces that it concerns.
pub(crate) fn apply(mut held: KeySet, changes: &Changes) -> Result<Vec<Figure>> {
    let (mut whole, mut concerned) = (Vec::new(), Vec::new());
    for published in &changes.published {
        let shards: Vec<_> = published.shards.iter().map(|(at, bytes)| (*at, bytes.clone())).collect();
        let begun = Instant::now();
        let manifest = Manifest::verify(&published.manifest, &changes.trust, changes.now, held.seq(), Duration::ZERO)?;
        ensure!(held.missing(&manifest).len() <= shards.len(), "a shard was not published");
        let shards = shards.into_iter().map(|(at, bytes)| Shard::open(at, bytes.into())).collect::<Result<_, _>>()?;
        let next = held.next(manifest, shards)?;
        let viewed = begun.elapsed();
        let told = next.concerned(held.touched(&next));
        whole.push(begun.elapsed().as_secs_f64() * 1e3);
        concerned.push((begun.elapsed() - viewed).as_secs_f64() * 1e3);
        ensure!(matches!(told, Concerned::These(_)), "one key concerns everybody");
        held = next;
    }
    Ok(vec![
        Figure::new("the daemon applies one change, and knows whose agents it concerns", "ms", whole, Goal::Median(5.0))?,
        Figure::new("  of it: whose agents it concerns", "ms", concerned, Goal::None)?,
    ])
}

//! What a bridge costs beside the bytes it hands on: both directions at once, between ends that are always ready.

#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::expect_used, reason = "ends that never fail")]

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use drawbridge_daemon::bridge::{self, Sink, Source, Tally};
use std::{future, hint::black_box, io};
use tokio::runtime::Builder;

/// Bytes of one round, in each direction.
const ROUND: usize = 64 << 20;

/// Says `piece` so many times.
struct Says(Bytes, usize);

/// Hears all.
#[derive(Default)]
struct Hears(usize);

impl Source for Says {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let Some(left) = self.1.checked_sub(1) else { return Ok(None) };
        self.1 = left;
        Ok(Some(self.0.clone()))
    }
}

impl Sink for Hears {
    async fn send(&mut self, bytes: Bytes) -> io::Result<()> {
        self.0 += black_box(bytes).len();
        Ok(())
    }

    async fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn round(piece: &Bytes) -> Tally {
    let says = || Says(piece.clone(), ROUND / piece.len());
    let (mut left, mut at_left, mut at_right) = (says(), Hears::default(), Hears::default());
    let (mut tally, until) = (Tally::default(), (future::pending(), future::pending()));
    bridge::bridge((&mut left, &mut at_left), (says(), &mut at_right), &mut tally, until).await.expect("no end breaks");
    tally
}

fn bridging(c: &mut Criterion) {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let mut group = c.benchmark_group("bridge: hand on both ways, in pieces of");
    group.throughput(Throughput::Bytes(2 * ROUND as u64));
    for size in [64, 1 << 10, 32 << 10] {
        let piece = Bytes::from(vec![7; size]);
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| assert_eq!(runtime.block_on(round(&piece)), Tally { up: ROUND as u64, down: ROUND as u64 }));
        });
    }
}

criterion_group!(benches, bridging);
criterion_main!(benches);

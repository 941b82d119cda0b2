//! What a strand costs beside the bytes it carries: framing, keeping and confirming, without a network.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

use bytes::{Bytes, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use drawbridge_shared::tunnel::resume::strand::{Read, Strand};
use std::hint::black_box;

/// Bytes of one round: more than a window.
const ROUND: usize = 16 << 20;

/// Carries a round in pieces from one end to the other, confirmations back.
fn carry(piece: &Bytes) -> usize {
    let (mut near, mut far) = (Strand::default(), Strand::default());
    let (mut wire, mut taken) = (Vec::new(), 0);
    for _ in 0..ROUND / piece.len() {
        near.push(piece.clone());
        near.transmit(&mut wire);
        let mut came = BytesMut::with_capacity(piece.len() + 16);
        wire.drain(..).for_each(|part| came.extend_from_slice(&part));
        let _ = far.receive(&mut came);
        while let Read::Bytes(bytes) = far.read(usize::MAX) {
            taken += bytes.len();
        }
        if far.is_due() {
            far.transmit(&mut wire);
            let mut back = BytesMut::from(&wire.drain(..).fold(Vec::new(), |all, part| [all, part.to_vec()].concat())[..]);
            let _ = near.receive(&mut back);
        }
    }
    taken
}

fn framing(c: &mut Criterion) {
    let mut group = c.benchmark_group("strand: frame, keep and confirm, in pieces of");
    group.throughput(Throughput::Bytes(ROUND as u64));
    for size in [64, 1 << 10, 32 << 10, 128 << 10] {
        let piece = Bytes::from(vec![7; size]);
        group.bench_function(BenchmarkId::from_parameter(size), |b| b.iter(|| carry(black_box(&piece))));
    }
}

/// What the wire's copy alone costs, to compare with.
fn copying(c: &mut Criterion) {
    let piece = vec![7; 128 << 10];
    let mut group = c.benchmark_group("strand: the same bytes only copied, in pieces of");
    group.throughput(Throughput::Bytes(ROUND as u64));
    group.bench_function(BenchmarkId::from_parameter(piece.len()), |b| {
        b.iter(|| (0..ROUND / piece.len()).map(|_| BytesMut::from(black_box(&piece[..])).len()).sum::<usize>());
    });
}

/// A full window sent again after a leg has broken.
fn resumption(c: &mut Criterion) {
    let piece = Bytes::from(vec![7; 32 << 10]);
    let mut strand = Strand::default();
    while strand.room() > 0 {
        strand.push(piece.clone());
    }
    c.bench_function("strand: a full window for a new leg", |b| {
        b.iter(|| {
            let mut wire = Vec::new();
            let attached = strand.attach(0);
            while strand.is_due() {
                strand.transmit(&mut wire);
            }
            (attached, wire.len())
        });
    });
}

criterion_group!(benches, framing, copying, resumption);
criterion_main!(benches);

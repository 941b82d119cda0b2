//! The pure parts at their sizes: believing a manifest, opening a shard, finding a key, reading a key line, and a stream's
//! header.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use drawbridge_shared::{
    fingerprint::Fingerprint,
    id::{SnapshotSeq, UserId},
    key::UserKey,
    signed::TrustRoots,
    snapshot::{
        Family, Manifest, ShardRef,
        key_shard::{self, KeyShard, ROW},
    },
    time::Timestamp,
    tunnel::{
        frame,
        open::{Open, Opening},
        resume::ticket::{ID, SECRET, Secret, StrandId, Ticket},
    },
};
use sha2::{Digest, Sha256};
use ssh_key::{PrivateKey, private::Ed25519Keypair};
use std::{hint::black_box, net::SocketAddr, time::Duration};

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
/// All keys, of which a shard has a 256th part.
const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// A fingerprint of shard 0.
fn fingerprint(n: usize) -> Fingerprint {
    let mut bytes: [u8; 32] = Sha256::digest(n.to_le_bytes()).into();
    bytes[0] = 0;
    Fingerprint(bytes)
}

/// One shard of `keys` in all.
fn shard(keys: usize) -> Vec<u8> {
    let user = "user-000001".parse::<UserId>();
    let rows = (0..keys.div_ceil(256)).flat_map(|n| user.iter().map(move |user| key_shard::row(&fingerprint(n), user, None)));
    key_shard::build(rows.collect::<Vec<[u8; ROW]>>())
}

fn signing_key() -> PrivateKey {
    Ed25519Keypair::from_seed(&[1; 32]).into()
}

fn manifest(c: &mut Criterion) {
    let families = [Family::Keys, Family::Workspaces];
    let shards = families.into_iter().flat_map(|family| (0..=u8::MAX).map(move |id| ShardRef::of(family, id, &[id])));
    let manifest = Manifest::new(SnapshotSeq(7), NOW, shards.collect());
    let key = signing_key();
    let (Ok(text), Ok(line)) = (manifest.sign(std::slice::from_ref(&key)), key.public_key().to_openssh()) else { return };
    let Ok(trust) = line.parse::<TrustRoots>() else { return };
    c.bench_function("manifest of 512 shards: verify", |b| {
        b.iter(|| Manifest::verify(black_box(&text), &trust, NOW, SnapshotSeq(7), Duration::ZERO));
    });
}

fn open(c: &mut Criterion) {
    let mut group = c.benchmark_group("shard: hash and open, of keys in all");
    for keys in SIZES {
        let bytes = shard(keys);
        let reference = ShardRef::of(Family::Keys, 0, &bytes);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(keys), |b| {
            b.iter(|| reference.check(black_box(&bytes)).is_ok().then(|| KeyShard::open(0, &bytes)));
        });
    }
}

fn lookup(c: &mut Criterion) {
    let mut group = c.benchmark_group("shard: find a key, of keys in all");
    for keys in SIZES {
        let rows = keys.div_ceil(256);
        let Some(shard) = KeyShard::open(0, shard(keys)) else { return };
        let wanted: Vec<_> = (0..rows).map(|n| fingerprint(n * 7 % rows)).collect();
        let mut next = wanted.iter().cycle();
        group.bench_function(BenchmarkId::from_parameter(keys), |b| {
            b.iter(|| next.next().map(|key| shard.users(black_box(key), NOW).count()));
        });
    }
}

fn key_line(c: &mut Criterion) {
    let Ok(line) = signing_key().public_key().to_openssh() else { return };
    c.bench_function("ed25519 key line: parse and check", |b| b.iter(|| UserKey::parse(black_box(&line))));
}

/// In front of every inner connection.
fn header(c: &mut Criterion) {
    let Ok(user) = "user-000001".parse::<UserId>() else { return };
    let ticket = Ticket { id: StrandId([7; ID]), secret: Secret::new([9; SECRET]) };
    let open = Open {
        user,
        fingerprint: fingerprint(1),
        client: SocketAddr::from(([127, 0, 0, 1], 22)),
        trace_id: "0123456789abcdef".into(),
        ticket,
        patience: Duration::from_secs(300),
    };
    let frame = open.encode();
    c.bench_function("header of a stream: write", |b| b.iter(|| black_box(&open).encode()));
    c.bench_function("header of a stream: read", |b| b.iter(|| Opening::decode(black_box(&frame[frame::LENGTH..]))));
}

criterion_group!(benches, manifest, open, lookup, key_line, header);
criterion_main!(benches);

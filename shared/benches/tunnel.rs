//! What a strand costs over a real tunnel on loopback: the same bytes over a raw stream, and over a strand on one.

#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::expect_used, reason = "a benchmark without its tunnel has nothing to go on with")]

use bytes::{Bytes, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use drawbridge_shared::{
    native::{
        control,
        identity::Identity,
        quic::{self, Acceptor},
        resume::{Budget, Driver, Leg, Outcome, StrandReader, StrandWriter, strand},
        talk::Talk,
        tunnel::{Stream, Transport, Tunnel},
        websocket::{self, Door, Way},
    },
    tunnel::frame::Frame,
};
use std::{hint::black_box, net::UdpSocket};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    runtime::{Builder, Runtime},
    task::JoinSet,
};

/// Bytes of one round, from the agent to the daemon: many windows.
const ROUND: usize = 64 << 20;
/// What is written at once: russh's packets are as long.
const PIECE: usize = 32 << 10;
/// What one connection's strands may hold: a daemon's bound.
const BUDGET: usize = 32 << 20;

/// Both ends of a tunnel, and what keeps it alive.
struct Pair {
    agent: Tunnel,
    daemon: Tunnel,
    _runs: JoinSet<()>,
}

async fn pair(transport: Transport) -> Pair {
    let identity = Identity::from_seed(&[5; 32]);
    let mut runs = JoinSet::new();
    let (agent, daemon) = match transport {
        Transport::Quic => over_quic(&identity).await,
        Transport::WebSocket => over_websocket(&identity, &mut runs).await,
    };
    let mut ours = agent.open().await.expect("a control stream");
    control::write(&mut ours.1, &Frame::Pong).await.expect("a first frame");
    let theirs = daemon.accept().await.expect("a control stream");
    for (tunnel, stream) in [(&agent, ours), (&daemon, theirs)] {
        let mut talk = Talk::new(tunnel, stream);
        runs.spawn(async move { while talk.next().await.is_ok() {} });
    }
    Pair { agent, daemon, _runs: runs }
}

async fn over_quic(identity: &Identity) -> (Tunnel, Tunnel) {
    let acceptor = Acceptor::new(UdpSocket::bind("127.0.0.1:0").expect("a port"), identity, 0).expect("an end point");
    let address = acceptor.local_addr().expect("an address");
    let accepts = async { acceptor.accept().await.expect("a knock").admit().await.expect("a tunnel") };
    let (agent, daemon) = tokio::join!(quic::dial(address, identity.public()), accepts);
    (agent.expect("a tunnel"), daemon)
}

async fn over_websocket(identity: &Identity, runs: &mut JoinSet<()>) -> (Tunnel, Tunnel) {
    let door = Door::new(TcpListener::bind("127.0.0.1:0").await.expect("a port"), identity).expect("a door");
    let way = Way::Straight(door.local_addr().expect("an address"));
    let accepts = async { door.accept().await.expect("a knock").admit().await.expect("no fault").expect("a tunnel") };
    let (agent, daemon) = tokio::join!(websocket::dial(way, identity.public()), accepts);
    runs.spawn(async move {
        while let Ok(knock) = door.accept().await {
            drop(knock.admit().await);
        }
    });
    (agent.expect("a tunnel"), daemon)
}

impl Pair {
    /// A stream as the daemon has it, and as the agent does.
    async fn stream(&self) -> (Stream, Stream) {
        let opens = async {
            let mut stream = self.daemon.open().await.expect("a stream");
            stream.1.send(Bytes::from_static(b"!")).await.expect("a first byte");
            stream
        };
        let accepts = async {
            let mut stream = self.agent.accept().await.expect("a stream");
            stream.0.read_u8().await.expect("a first byte");
            stream
        };
        tokio::join!(opens, accepts)
    }
}

/// Over the stream itself.
async fn raw(pair: &Pair, piece: &Bytes) -> usize {
    let ((mut reader, down), (_up, mut writer)) = pair.stream().await;
    let writes = async {
        for _ in 0..ROUND / PIECE {
            writer.send(piece.clone()).await.expect("a reader");
        }
        writer.shutdown().await.expect("a reader");
    };
    let reads = async {
        let (mut buffer, mut came) = (BytesMut::with_capacity(4 * PIECE), 0);
        while reader.read_buf(&mut buffer).await.expect("a writer") > 0 {
            came += black_box(buffer.split()).len();
            buffer.reserve(4 * PIECE);
        }
        came
    };
    let ((), came) = tokio::join!(writes, reads);
    drop(down);
    came
}

/// Over a strand, whose only leg the stream is.
async fn stranded(pair: &Pair, piece: &Bytes) -> usize {
    let (budgets, (down, up)) = ([Budget::new(BUDGET), Budget::new(BUDGET)], pair.stream().await);
    let ((reader, ended, near), (unread, writer, far)) = (strand(&budgets[0]), strand(&budgets[1]));
    let (rides, writes) = (async { tokio::join!(ride(near, down), ride(far, up)) }, write(writer, unread, piece));
    tokio::join!(read(reader, ended), writes, rides).0
}

async fn ride(driver: Driver, (reader, writer): Stream) {
    let outcome = driver.ride(&mut Leg::new(reader, writer)).await;
    assert!(matches!(outcome, Outcome::Over), "{outcome:?}");
}

async fn write(mut writer: StrandWriter, mut unread: StrandReader, piece: &Bytes) {
    for _ in 0..ROUND / PIECE {
        writer.send(piece.clone()).await.expect("a reader");
    }
    writer.finish();
    while unread.chunk().await.expect("an end").is_some() {}
}

async fn read(mut reader: StrandReader, mut ended: StrandWriter) -> usize {
    ended.finish();
    let mut came = 0;
    while let Some(bytes) = reader.chunk().await.expect("a writer") {
        came += black_box(bytes).len();
    }
    came
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn throughput(c: &mut Criterion) {
    let (runtime, piece) = (runtime(), Bytes::from(vec![7; PIECE]));
    for transport in [Transport::Quic, Transport::WebSocket] {
        let pair = runtime.block_on(pair(transport));
        let mut group = c.benchmark_group(format!("64 MiB through a tunnel over {transport}"));
        group.throughput(Throughput::Bytes(ROUND as u64)).sample_size(20);
        group.bench_function(BenchmarkId::from_parameter("raw stream"), |b| {
            b.iter(|| assert_eq!(runtime.block_on(raw(&pair, &piece)), ROUND));
        });
        group.bench_function(BenchmarkId::from_parameter("strand"), |b| {
            b.iter(|| assert_eq!(runtime.block_on(stranded(&pair, &piece)), ROUND));
        });
    }
}

criterion_group!(benches, throughput);
criterion_main!(benches);

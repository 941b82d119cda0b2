//! One strand over a hundred tunnels, the transports in turn, each killed while bytes are on their way both ways.

use super::{Transport, Tunnel, pair, stream};
use crate::native::resume::{Budget, Driver, Leg, Outcome, StrandReader, StrandWriter, strand};
use bytes::Bytes;
use tokio::{io::AsyncWriteExt, sync::watch};

const KILLS: usize = 100;
/// Bytes between two kills: several records.
const STEP: usize = 320 << 10;
/// More than all kills take.
const LARGE: usize = (KILLS + 1) * STEP;
const PIECE: usize = 40_000;

fn bytes() -> Bytes {
    (0..LARGE).map(|n| (n / 251 + n * 7) as u8).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strand_outlives_a_hundred_tunnels() {
    let budget = Budget::new(64 << 20);
    let ((near_reader, near_writer, near), (far_reader, far_writer, far)) = (strand(&budget), strand(&budget));
    let (moved, progress) = watch::channel(0);
    let sends = send(near_writer);
    let echoes = echo(far_reader, far_writer);
    let reads = read(near_reader, moved);
    let (killed, got, (), ()) = tokio::join!(carry(&near, &far, progress), reads, sends, echoes);
    assert_eq!(killed, KILLS);
    assert!(got == bytes(), "{} bytes came back", got.len());
    drop((near, far));
    assert_eq!(budget.used(), 0);
}

async fn send(mut writer: StrandWriter) {
    let mut left = bytes();
    while !left.is_empty() {
        writer.send(left.split_to(PIECE.min(left.len()))).await.unwrap();
    }
    writer.finish();
}

async fn echo(mut reader: StrandReader, mut writer: StrandWriter) {
    while let Some(bytes) = reader.chunk().await.unwrap() {
        writer.send(bytes).await.unwrap();
    }
    writer.shutdown().await.unwrap();
}

async fn read(mut reader: StrandReader, moved: watch::Sender<usize>) -> Vec<u8> {
    let mut got = Vec::new();
    while let Some(bytes) = reader.chunk().await.unwrap() {
        got.extend_from_slice(&bytes);
        moved.send_replace(got.len());
    }
    got
}

/// Rides one tunnel after the other until the strand is over. Returns how many were killed.
async fn carry(near: &Driver, far: &Driver, mut progress: watch::Receiver<usize>) -> usize {
    for killed in 0.. {
        let transport = if killed % 2 == 0 { Transport::Quic } else { Transport::WebSocket };
        let mark = if killed < KILLS { (killed + 1) * STEP } else { usize::MAX };
        let ride = async |agent: Tunnel, daemon: Tunnel| {
            let ((down, up), (reader, writer)) = stream(&agent, &daemon).await;
            let (mut here, mut there) = (Leg::new(down, up), Leg::new(reader, writer));
            tokio::select! {
                (one, other) = async { tokio::join!(near.ride(&mut here), far.ride(&mut there)) } => {
                    assert!(matches!((&one, &other), (Outcome::Over, Outcome::Over)), "{one:?}, {other:?}");
                    true
                }
                Ok(_) = progress.wait_for(|moved| *moved >= mark) => false,
            }
        };
        if pair(transport).await.run(ride).await {
            return killed;
        }
        near.attach(far.received()).unwrap();
        far.attach(near.received()).unwrap();
    }
    unreachable!("it ends with the strand")
}

//! Halves and drivers over duplex pipes that are cut.

use super::{driver::QUIET, *};
use crate::{
    native::reserve::{LITTLE, Reserve},
    tunnel::resume::WINDOW,
};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};

const PIPE: usize = 64 << 10;
const LARGE: usize = 3 << 20;

type Pipe = Leg<ReadHalf<DuplexStream>, WriteHalf<DuplexStream>>;

impl LegWriter for WriteHalf<DuplexStream> {
    async fn send(&mut self, bytes: Bytes) -> io::Result<()> {
        self.write_all(&bytes).await
    }

    async fn send_all(&mut self, wire: &mut Vec<Bytes>) -> io::Result<()> {
        for bytes in wire.drain(..) {
            self.write_all(&bytes).await?;
        }
        Ok(())
    }

    fn finish(&mut self) {}
}

struct End {
    reader: StrandReader,
    writer: StrandWriter,
    driver: Driver,
}

fn end(budget: &Budget) -> End {
    let (reader, writer, driver) = strand(budget);
    End { reader, writer, driver }
}

fn legs() -> (Pipe, Pipe) {
    let (near, far) = duplex(PIPE);
    let [near, far] = [near, far].map(split).map(|(reader, writer)| Leg::new(reader, writer));
    (near, far)
}

/// Rides legs that are cut after some turns each, until the strand is over on both sides.
async fn carry(near: &Driver, far: &Driver, mut turns: impl FnMut() -> u32) {
    loop {
        let (mut here, mut there) = legs();
        let cut = async {
            for _ in 0..turns() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            (one, other) = async { tokio::join!(near.ride(&mut here), far.ride(&mut there)) } => {
                assert!(matches!((&one, &other), (Outcome::Over, Outcome::Over)), "{one:?}, {other:?}");
                return;
            }
            () = cut => {}
        }
        drop((here, there));
        near.attach(far.received()).unwrap();
        far.attach(near.received()).unwrap();
    }
}

fn pattern() -> Vec<u8> {
    (0..LARGE).map(|n| (n * 31 % 251) as u8).collect()
}

#[tokio::test]
async fn an_application_sees_nothing_of_its_legs() {
    let budget = Budget::new(64 << 20);
    let (near, far) = (end(&budget), end(&budget));
    let (mut near_reader, mut near_writer) = (near.reader, near.writer);
    let (mut far_reader, mut far_writer) = (far.reader, far.writer);
    let sent = Bytes::from(pattern());
    let up = async {
        for piece in sent.chunks(10_000) {
            near_writer.send(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        near_writer.finish();
    };
    let back = async {
        let mut buffer = BytesMut::new();
        while far_reader.read_buf(&mut buffer).await.unwrap() > 0 {
            far_writer.write_all(&buffer.split()).await.unwrap();
        }
        far_writer.shutdown().await.unwrap();
    };
    let down = async {
        let mut got = Vec::new();
        while let Some(bytes) = near_reader.chunk().await.unwrap() {
            got.extend_from_slice(&bytes);
        }
        got
    };
    let mut leg = 1;
    let turns = || {
        leg += 1;
        if leg < 60 { leg % 7 } else { u32::MAX }
    };
    let (_, _, got, ()) = tokio::join!(up, back, down, carry(&near.driver, &far.driver, turns));
    assert!(got == pattern(), "{} bytes came back", got.len());
    assert!(leg > 20, "{leg} legs are too few to show anything");
    drop((near_reader, near_writer, near.driver, far_reader, far_writer, far.driver));
    assert_eq!(budget.used(), 0);
}

#[tokio::test]
async fn a_writer_dropped_unfinished_breaks_and_a_reader_dropped_stops() {
    let budget = Budget::new(64 << 20);
    let (mut near, mut far) = (end(&budget), end(&budget));
    near.writer.send(Bytes::from_static(b"half")).await.unwrap();
    drop(near.writer);
    drop(near.reader);
    let far_end = async {
        assert_eq!(far.reader.chunk().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(far.writer.send(Bytes::from_static(b"x")).await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    };
    tokio::join!(carry(&near.driver, &far.driver, || u32::MAX), far_end);
}

/// The other side takes a byte beyond its window for a breach of the protocol.
#[tokio::test]
async fn a_writer_whose_reader_is_slow_stays_within_the_window() {
    const PIECE: usize = 32 << 10;
    let budget = Budget::new(64 << 20);
    let (mut near, mut far) = (end(&budget), end(&budget));
    let sent: Vec<u8> = (0..2 * WINDOW).map(|n| (n * 31 % 251) as u8).collect();
    let up = async {
        // Its last piece before the window is full does not fit.
        for piece in sent[..PIECE / 2].chunks(PIECE).chain(sent[PIECE / 2..].chunks(PIECE)) {
            near.writer.send(Bytes::copy_from_slice(piece)).await.unwrap();
        }
    };
    let down = async {
        while far.driver.received() < (WINDOW - PIECE) as u64 {
            tokio::task::yield_now().await;
        }
        let mut got = Vec::new();
        while got.len() < sent.len() {
            got.extend_from_slice(&far.reader.chunk().await.unwrap().unwrap());
        }
        got
    };
    let (mut here, mut there) = legs();
    tokio::select! {
        outcome = near.driver.ride(&mut here) => panic!("near: {outcome:?}"),
        outcome = far.driver.ride(&mut there) => panic!("far: {outcome:?}"),
        ((), got) = async { tokio::join!(up, down) } => assert!(got == sent),
    }
}

#[tokio::test]
async fn a_full_budget_leaves_everybody_a_little() {
    leaves_a_little(Budget::new(1)).await;
}

#[tokio::test]
async fn so_does_one_that_is_within_what_others_have_taken() {
    let reserve = Reserve::of(FLOOR);
    let (others, budget) = (Budget::within(&reserve, FLOOR), Budget::within(&reserve, 64 << 20));
    others.recharge(&mut 0, FLOOR);
    // Whoever holds little is not slowed down for what others hold.
    budget.recharge(&mut 0, LITTLE);
    leaves_a_little(budget).await;
}

async fn leaves_a_little(budget: Budget) {
    let mut near = end(&budget);
    let piece = Bytes::from(vec![0; FLOOR / 2]);
    near.writer.send(piece.clone()).await.unwrap();
    near.writer.send(piece.clone()).await.unwrap();
    assert!(futures_util::poll!(std::pin::pin!(near.writer.send(piece.clone()))).is_pending());
    let mut far = end(&budget);
    let read = takes(&mut far.reader, 3 * FLOOR / 2);
    tokio::select! {
        () = carry(&near.driver, &far.driver, || u32::MAX) => panic!("nobody ended it"),
        _ = async { tokio::join!(near.writer.send(piece.clone()), read) } => {}
    }
}

/// It reads nothing meanwhile, and what makes room for it comes behind what it does not read.
#[tokio::test]
async fn a_server_that_waits_to_write_goes_on_however_full_the_budget_is() {
    let (full, roomy) = (Budget::of_servers(1), Budget::new(64 << 20));
    let (mut server, mut client) = (end(&full), end(&roomy));
    let piece = Bytes::from(vec![0; FLOOR]);
    let serve = async {
        for _ in 0..4 {
            server.writer.send(piece.clone()).await.unwrap();
        }
        takes(&mut server.reader, 4 * FLOOR).await;
    };
    let call = async {
        for _ in 0..4 {
            client.writer.send(piece.clone()).await.unwrap();
        }
        takes(&mut client.reader, 4 * FLOOR).await;
    };
    tokio::select! {
        () = carry(&server.driver, &client.driver, || u32::MAX) => panic!("nobody ended it"),
        _ = async { tokio::join!(serve, call) } => {}
    }
}

async fn takes(reader: &mut StrandReader, mut length: usize) {
    while length > 0 {
        length -= reader.chunk().await.unwrap().unwrap().len();
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_is_kept_until_it_is_quiet() {
    let budget = Budget::new(1 << 20);
    let (mut near, mut far) = (end(&budget), end(&budget));
    let (mut here, mut there) = legs();
    let key = Bytes::from_static(b"a key");
    let quiet = async {
        for _ in 0..2 {
            near.writer.send(key.clone()).await.unwrap();
            assert_eq!(far.reader.chunk().await.unwrap(), Some(key.clone()));
            assert_eq!(budget.used(), key.len());
            tokio::time::sleep(3 * QUIET).await;
            assert_eq!(budget.used(), 0);
        }
    };
    tokio::select! {
        ended = async { tokio::join!(near.driver.ride(&mut here), far.driver.ride(&mut there)) } => panic!("{ended:?}"),
        () = quiet => {}
    }
}

#[tokio::test]
async fn a_strand_that_is_not_carried_any_more_fails_with_words() {
    let mut near = end(&Budget::new(1 << 20));
    near.driver.fail("no tunnel came back within 300 s");
    let fault = near.reader.chunk().await.unwrap_err();
    assert_eq!(fault.to_string(), "no tunnel came back within 300 s");
    drop(near.driver);
    assert_eq!(near.writer.write(b"x").await.unwrap_err().to_string(), fault.to_string());
}

#[tokio::test]
async fn a_leg_that_ends_in_the_middle_is_broken_and_one_that_lies_is_found_out() {
    let near = end(&Budget::new(1 << 20));
    let (mut here, there) = legs();
    drop(there);
    assert!(matches!(near.driver.ride(&mut here).await, Outcome::Broke(_)));
    let (mut here, mut there) = legs();
    there.writer().send(Bytes::from_static(b"\x06")).await.unwrap();
    assert!(matches!(near.driver.ride(&mut here).await, Outcome::Violated(_)));
}

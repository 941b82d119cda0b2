//! What holds for every tunnel, whatever carries it: each case runs over QUIC and over WebSocket.

mod allowance;
mod hundred;

use super::*;
use crate::native::{
    control,
    identity::Identity,
    quic::{self, Acceptor},
    talk::Talk,
    websocket::{self, Door, Way},
};
use crate::tunnel::{MAX_TEXT, frame::Frame};
use std::{net::UdpSocket, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

/// What is to come about does so within this.
const SOON: Duration = Duration::from_secs(20);

/// Both ends of a tunnel, its control stream taken, and what keeps the daemon's end taking sockets.
struct Pair {
    agent: Tunnel,
    daemon: Tunnel,
    control: (Talk, Talk),
    _door: tokio::task::JoinSet<()>,
}

fn identity() -> Identity {
    Identity::from_seed(&[5; 32])
}

async fn pair(transport: Transport) -> Pair {
    let (agent, daemon, door) = match transport {
        Transport::Quic => over_quic().await,
        Transport::WebSocket => over_websocket().await,
    };
    let (mut ours, theirs) = (agent.open().await.unwrap(), daemon.accept());
    // QUIC announces a stream with its first byte.
    control::write(&mut ours.1, &Frame::Pong).await.unwrap();
    let mut theirs = theirs.await.unwrap();
    assert_eq!(control::read(&mut theirs.0).await.unwrap(), Frame::Pong);
    let control = (Talk::new(&agent, ours), Talk::new(&daemon, theirs));
    Pair { agent, daemon, control, _door: door }
}

async fn over_quic() -> (Tunnel, Tunnel, tokio::task::JoinSet<()>) {
    let acceptor = Acceptor::new(UdpSocket::bind("127.0.0.1:0").unwrap(), &identity(), 0).unwrap();
    let address = acceptor.local_addr().unwrap();
    let accepts = async { acceptor.accept().await.unwrap().admit().await.unwrap() };
    let (agent, daemon) = tokio::join!(quic::dial(address, identity().public()), accepts);
    (agent.unwrap(), daemon, tokio::task::JoinSet::new())
}

async fn over_websocket() -> (Tunnel, Tunnel, tokio::task::JoinSet<()>) {
    let door = Door::new(TcpListener::bind("127.0.0.1:0").await.unwrap(), &identity()).unwrap();
    let way = Way::Straight(door.local_addr().unwrap());
    let accepts = async { door.accept().await.unwrap().admit().await.unwrap().unwrap() };
    let (agent, daemon) = tokio::join!(websocket::dial(way, identity().public()), accepts);
    let mut takes = tokio::task::JoinSet::new();
    takes.spawn(async move {
        while let Ok(knock) = door.accept().await {
            drop(knock.admit().await);
        }
    });
    (agent.unwrap(), daemon, takes)
}

impl Pair {
    /// Runs `story` beside both control streams.
    async fn run<T>(&mut self, story: impl AsyncFnOnce(Tunnel, Tunnel) -> T) -> T {
        let (agent, daemon) = (self.agent.clone(), self.daemon.clone());
        let (ours, theirs) = &mut self.control;
        let talks = async {
            let (ours, theirs) = tokio::join!(ours.next(), theirs.next());
            // Control streams that have ended leave the story to its end.
            drop((ours, theirs));
            std::future::pending().await
        };
        tokio::select! {
            done = timeout(SOON, story(agent, daemon)) => done.expect("a story that ends"),
            never = talks => never,
        }
    }
}

/// A stream as both ends have it: the daemon's, then the agent's.
async fn stream(agent: &Tunnel, daemon: &Tunnel) -> (Stream, Stream) {
    let opens = async {
        let mut stream = daemon.open().await.unwrap();
        stream.1.send(Bytes::from_static(b"!")).await.unwrap();
        stream
    };
    let accepts = async {
        let mut stream = agent.accept().await.unwrap();
        assert_eq!(stream.0.read_u8().await.unwrap(), b'!');
        stream
    };
    tokio::join!(opens, accepts)
}

macro_rules! over_both {
    ($($story:ident),* $(,)?) => {
        mod over_quic {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() { super::pair(super::Transport::Quic).await.run(super::$story).await; })*
        }
        mod over_websocket {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() { super::pair(super::Transport::WebSocket).await.run(super::$story).await; })*
        }
    };
}

over_both!(
    bytes_cross_both_ways_whole,
    each_half_ends_alone,
    an_unfinished_writer_is_a_reset,
    words_arrive_though_what_came_is_unread,
    a_reader_that_waits_stops_the_writer,
    a_stalled_stream_leaves_the_others_alone,
    many_streams_at_once,
    small_writes_leave_with_the_flush,
    both_ends_export_the_same,
    a_close_is_heard_with_its_words,
    what_a_peer_says_at_the_end_moves_no_cursor,
    a_dropped_end_is_heard,
    streams_end_with_their_tunnel,
    streams_are_counted_at_both_ends,
);

/// Bytes that repeat late.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n / 251 + n) as u8).collect()
}

async fn bytes_cross_both_ways_whole(agent: Tunnel, daemon: Tunnel) {
    let ((mut down, mut up), (reader, writer)) = stream(&agent, &daemon).await;
    let sent = pattern(3_000_000);
    let echo = async {
        let mut stream = tokio::io::join(reader, writer);
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        stream.write_all(&all).await.unwrap();
        stream.shutdown().await.unwrap();
        all.len()
    };
    let sends = async {
        for piece in sent.chunks(70_001) {
            up.send(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        up.finish();
    };
    let mut back = Vec::new();
    let ((), echoed, read) = tokio::join!(sends, echo, down.read_to_end(&mut back));
    assert_eq!((echoed, read.unwrap()), (sent.len(), sent.len()));
    assert!(back == sent);
}

async fn each_half_ends_alone(agent: Tunnel, daemon: Tunnel) {
    let ((mut down, mut up), (mut reader, mut writer)) = stream(&agent, &daemon).await;
    up.finish();
    assert_eq!(reader.read(&mut [0; 8]).await.unwrap(), 0);
    assert_eq!(reader.read(&mut [0; 8]).await.unwrap(), 0);
    writer.write_all(b"still here").await.unwrap();
    writer.flush().await.unwrap();
    let mut words = [0; 10];
    down.read_exact(&mut words).await.unwrap();
    assert_eq!(&words, b"still here");
    writer.shutdown().await.unwrap();
    assert_eq!(down.read(&mut [0; 8]).await.unwrap(), 0);
}

async fn an_unfinished_writer_is_a_reset(agent: Tunnel, daemon: Tunnel) {
    let ((mut down, _up), (_reader, writer)) = stream(&agent, &daemon).await;
    drop(writer);
    assert!(down.read(&mut [0; 8]).await.is_err());
}

async fn words_arrive_though_what_came_is_unread(agent: Tunnel, daemon: Tunnel) {
    let ((mut down, mut up), (reader, mut writer)) = stream(&agent, &daemon).await;
    up.send(pattern(100_000).into()).await.unwrap();
    writer.write_all(b"too much").await.unwrap();
    writer.finish();
    drop((reader, writer));
    let mut words = Vec::new();
    down.read_to_end(&mut words).await.unwrap();
    assert_eq!(words, b"too much");
}

async fn a_reader_that_waits_stops_the_writer(agent: Tunnel, daemon: Tunnel) {
    const MOST: usize = 512 << 20;
    let ((_down, mut up), (mut reader, _writer)) = stream(&agent, &daemon).await;
    let piece = Bytes::from(pattern(1 << 20));
    let mut sent = 0;
    while let Ok(done) = timeout(Duration::from_millis(500), up.send(piece.clone())).await {
        done.unwrap();
        sent += piece.len();
        assert!(sent < MOST, "nothing holds the writer back");
    }
    let mut read = 0;
    let mut buffer = vec![0; 1 << 20];
    while read < sent {
        read += reader.read(&mut buffer).await.unwrap();
    }
}

async fn a_stalled_stream_leaves_the_others_alone(agent: Tunnel, daemon: Tunnel) {
    let ((_down, mut stalled), _unread) = stream(&agent, &daemon).await;
    let piece = Bytes::from(pattern(1 << 20));
    while timeout(Duration::from_millis(300), stalled.send(piece.clone())).await.is_ok() {}
    let ((mut down, mut up), (mut reader, mut writer)) = stream(&agent, &daemon).await;
    up.send(Bytes::from_static(b"ask")).await.unwrap();
    let mut three = [0; 3];
    reader.read_exact(&mut three).await.unwrap();
    writer.send(Bytes::copy_from_slice(&three)).await.unwrap();
    down.read_exact(&mut three).await.unwrap();
    assert_eq!(&three, b"ask");
}

async fn many_streams_at_once(agent: Tunnel, daemon: Tunnel) {
    const STREAMS: u8 = 40;
    let opens = futures_util::future::join_all((0..STREAMS).map(async |n| {
        let (mut reader, mut writer) = daemon.open().await.unwrap();
        writer.send(vec![n].into()).await.unwrap();
        writer.finish();
        reader.read_u8().await.unwrap() == n
    }));
    let serves = async {
        let mut streams = Vec::new();
        for _ in 0..STREAMS {
            let (mut reader, mut writer) = agent.accept().await.unwrap();
            let n = reader.read_u8().await.unwrap();
            writer.send(vec![n].into()).await.unwrap();
            writer.finish();
            streams.push((reader, writer));
        }
        streams
    };
    let (answers, _streams) = tokio::join!(opens, serves);
    assert!(answers.into_iter().all(|right| right));
}

async fn small_writes_leave_with_the_flush(agent: Tunnel, daemon: Tunnel) {
    let ((_down, mut up), (mut reader, _writer)) = stream(&agent, &daemon).await;
    for byte in 0..100 {
        up.write_u8(byte).await.unwrap();
    }
    up.flush().await.unwrap();
    let mut all = [0; 100];
    reader.read_exact(&mut all).await.unwrap();
    assert!((0..100).eq(all));
}

async fn both_ends_export_the_same(agent: Tunnel, daemon: Tunnel) {
    assert_eq!(agent.exporter().unwrap(), daemon.exporter().unwrap());
    assert_ne!(agent.exporter().unwrap(), [0; EXPORTER]);
    assert_eq!(agent.transport(), daemon.transport());
}

async fn a_close_is_heard_with_its_words(agent: Tunnel, daemon: Tunnel) {
    daemon.close("off to lunch");
    let words = agent.closed().await.to_string();
    assert!(words.contains("off to lunch"), "{words}");
    daemon.closed().await;
}

async fn what_a_peer_says_at_the_end_moves_no_cursor(agent: Tunnel, daemon: Tunnel) {
    daemon.close(&format!("\x1b[2J\u{9b}2J\r\noff{}", "\x07".repeat(4000)));
    let words = [agent.closed().await, agent.accept().await.unwrap_err()].map(|fault| fault.to_string());
    let tame = |words: &String| words.contains("[2J") && words.len() <= MAX_TEXT && !words.chars().any(char::is_control);
    assert!(words.iter().all(tame), "{words:?}");
}

async fn a_dropped_end_is_heard(agent: Tunnel, daemon: Tunnel) {
    agent.close("");
    drop(agent);
    daemon.closed().await;
    assert!(daemon.open().await.is_err());
}

async fn streams_end_with_their_tunnel(agent: Tunnel, daemon: Tunnel) {
    let ((mut down, mut up), (mut reader, mut writer)) = stream(&agent, &daemon).await;
    let waits = async { down.read(&mut [0; 8]).await };
    let (read, ()) = tokio::join!(waits, async { agent.close("over") });
    assert!(read.is_err() && reader.read(&mut [0; 8]).await.is_err());
    assert!(writer.send(Bytes::from_static(b"x")).await.is_err());
    daemon.closed().await;
    assert!(up.send(Bytes::from_static(b"x")).await.is_err());
    assert!(agent.accept().await.is_err());
}

async fn streams_are_counted_at_both_ends(agent: Tunnel, daemon: Tunnel) {
    let count = |tunnel: &Tunnel| *tunnel.streams().borrow();
    assert_eq!((count(&agent), count(&daemon)), (0, 0));
    let (one, two) = (stream(&agent, &daemon).await, stream(&agent, &daemon).await);
    assert_eq!((count(&agent), count(&daemon)), (2, 2));
    drop(one);
    assert_eq!((count(&agent), count(&daemon)), (1, 1));
    let (ours, (reader, writer)) = two;
    drop((ours, reader));
    assert_eq!((count(&agent), count(&daemon)), (1, 0));
    drop(writer);
    assert_eq!(count(&agent), 0);
}

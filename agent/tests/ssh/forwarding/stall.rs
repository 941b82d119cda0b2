//! A forward whose far end does not read holds up no other, and loses nothing.

use super::{PATIENCE, Peer, exchange, rest};
use crate::harness::{Workspace, noise, text};
use std::{path::PathBuf, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixStream},
    time::{Instant, timeout},
};

const MIB: usize = 1 << 20;

/// Two forwards of one connection: one is sent 96 MiB that nobody takes, the other echoes all the while.
#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_does_not_read_holds_up_no_other() {
    let workspace = Workspace::start().await;
    let _master = workspace.master().await;
    let (silent, echo) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Peer::echo().await);
    let slow = forward(&workspace, "slow", silent.local_addr().unwrap().port()).await;
    let fast = forward(&workspace, "fast", echo.port).await;
    let data = noise(96 * MIB);
    let mut near = UnixStream::connect(&slow).await.unwrap();
    let (mut far, _) = silent.accept().await.unwrap();

    let mut sent = 0;
    // Until hardly more is taken in a second: the back-log is full, and only the trickle is left.
    loop {
        let before = sent;
        let all = async {
            while sent < data.len() {
                sent += near.write(&data[sent..]).await.unwrap();
            }
        };
        assert!(timeout(Duration::from_secs(1), all).await.is_err(), "all was taken");
        assert_eq!(exchange(UnixStream::connect(&fast).await.unwrap(), b"quick").await, b"quick");
        if sent - before < MIB {
            break;
        }
    }
    assert!((32 * MIB..80 * MIB).contains(&sent), "{sent} bytes were taken");
    let worst = echoes(&fast, 100).await;
    eprintln!("echo beside a stalled forward: median {worst:?}, {sent} bytes taken");
    assert!(worst < Duration::from_millis(50), "half of the echoes took {worst:?}");

    let finish = async {
        near.write_all(&data[sent..]).await.unwrap();
        near.shutdown().await.unwrap();
    };
    let ((), arrived) = tokio::join!(finish, rest(&mut far));
    assert!(arrived == data, "{} bytes arrived", arrived.len());
}

/// The other way: a peer in the workspace pours, and the client's reader stands still.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_holds_up_no_other() {
    let workspace = Workspace::start().await;
    let _master = workspace.master().await;
    let (source, echo) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Peer::echo().await);
    let slow = forward(&workspace, "slow", source.local_addr().unwrap().port()).await;
    let fast = forward(&workspace, "fast", echo.port).await;
    let data = noise(64 * MIB);
    let mut near = UnixStream::connect(&slow).await.unwrap();
    let (mut far, _) = source.accept().await.unwrap();

    let mut poured = 0;
    loop {
        let before = poured;
        let all = async {
            while poured < data.len() {
                poured += far.write(&data[poured..]).await.unwrap();
            }
        };
        assert!(timeout(Duration::from_secs(1), all).await.is_err(), "64 MiB went where nobody reads");
        if poured == before {
            break;
        }
    }
    // The client's window, and the sockets at both ends.
    assert!(poured < 24 * MIB, "{poured} bytes were taken");
    echoes(&fast, 100).await;
    let bulk = noise(16 * MIB);
    assert!(exchange(UnixStream::connect(&fast).await.unwrap(), &bulk).await == bulk);

    let finish = async {
        far.write_all(&data[poured..]).await.unwrap();
        drop(far);
    };
    let ((), arrived) = tokio::join!(finish, rest(&mut near));
    assert!(arrived == data, "{} bytes arrived", arrived.len());
}

/// A client that closes at once what it has sent: all of it arrives, however late it is read.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_before_the_close_arrives() {
    let workspace = Workspace::start().await;
    let _master = workspace.master().await;
    let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let path = forward(&workspace, "slow", slow.local_addr().unwrap().port()).await;
    let data = noise(24 * MIB);
    let mut near = UnixStream::connect(&path).await.unwrap();
    let (mut far, _) = slow.accept().await.unwrap();
    // Our end is finished, so that the client closes the channel as soon as its own is.
    far.shutdown().await.unwrap();
    assert_eq!(rest(&mut near).await, b"");
    timeout(PATIENCE, near.write_all(&data)).await.expect("a forward stood still").unwrap();
    drop(near);
    // By now ssh has seen the end: it answers for another channel.
    assert!(workspace.run("true").await.status.success());
    assert!(rest(&mut far).await == data);
}

/// A forward of the shared connection, from a socket named `name`.
async fn forward(workspace: &Workspace, name: &str, port: u16) -> PathBuf {
    let path = workspace.path(name);
    let forwarded = workspace.control("forward", &["-L", &format!("{}:127.0.0.1:{port}", path.display())]).await;
    assert!(forwarded.status.success(), "{}", text(&forwarded.stderr));
    path
}

/// `count` echoes over one forward: how long half of them took at most.
async fn echoes(path: &PathBuf, count: usize) -> Duration {
    let mut stream = UnixStream::connect(path).await.unwrap();
    let mut times = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        let both = async {
            stream.write_all(b"x").await.unwrap();
            stream.read_exact(&mut [0]).await.unwrap();
        };
        timeout(PATIENCE, both).await.expect("another forward stood still");
        times.push(start.elapsed());
    }
    times.sort();
    times[count / 2]
}

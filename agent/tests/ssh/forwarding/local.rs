//! From the client to what the workspace reaches: `-L`, `-D`, `-W`.

use super::{Peer, closed_port, connect, exchange, local, rest};
use crate::{
    channels::login,
    harness::{Workspace, ends, noise, text, until},
};
use russh::{ChannelMsg, ChannelOpenFailure, Error};
use std::{
    io::ErrorKind,
    net::{SocketAddr, ToSocketAddrs},
    process::Stdio,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream, UnixStream},
    task::JoinSet,
};

const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn bytes_are_exact_both_ways() {
    let workspace = Workspace::start().await;
    let echo = Peer::echo().await;
    let (_ssh, path) = local(&workspace, &format!("127.0.0.1:{}", echo.port)).await;
    let data = noise(64 * MIB);
    let around = (1..=3).flat_map(|k| [32_768 * k - 1, 32_768 * k, 32_768 * k + 1]);
    for size in around.chain([0, 1, 64 * MIB]) {
        let back = exchange(connect(&path).await, &data[..size]).await;
        assert!(back == data[..size], "{} of {size} bytes came back", back.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_direction_ends_by_itself() {
    let workspace = Workspace::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_ssh, path) = local(&workspace, &format!("127.0.0.1:{}", listener.local_addr().unwrap().port())).await;

    let mut near = connect(&path).await;
    let (mut far, _) = listener.accept().await.unwrap();
    near.write_all(b"question").await.unwrap();
    near.shutdown().await.unwrap();
    assert_eq!(rest(&mut far).await, b"question");
    far.write_all(b"answer").await.unwrap();
    drop(far);
    assert_eq!(rest(&mut near).await, b"answer");

    let mut near = connect(&path).await;
    let (mut far, _) = listener.accept().await.unwrap();
    far.write_all(b"greeting").await.unwrap();
    far.shutdown().await.unwrap();
    assert_eq!(rest(&mut near).await, b"greeting");
    near.write_all(&noise(MIB)).await.unwrap();
    drop(near);
    assert!(rest(&mut far).await == noise(MIB));
}

/// A table that is swept at every open must not forget a channel of which only one direction has ended.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_after_others_have_come_and_gone() {
    let workspace = Workspace::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_ssh, path) = local(&workspace, &format!("127.0.0.1:{}", listener.local_addr().unwrap().port())).await;
    let mut first = connect(&path).await;
    let (mut far, _) = listener.accept().await.unwrap();
    first.write_all(b"question").await.unwrap();
    first.shutdown().await.unwrap();
    assert_eq!(rest(&mut far).await, b"question");
    for _ in 0..3 {
        let mut other = connect(&path).await;
        let (mut end, _) = listener.accept().await.unwrap();
        end.write_all(b"other").await.unwrap();
        drop(end);
        assert_eq!(rest(&mut other).await, b"other");
    }
    far.write_all(b"answer").await.unwrap();
    drop(far);
    assert_eq!(rest(&mut first).await, b"answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_closes_the_channel() {
    let workspace = Workspace::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_ssh, path) = local(&workspace, &format!("127.0.0.1:{}", listener.local_addr().unwrap().port())).await;
    let mut near = connect(&path).await;
    let (mut far, _) = listener.accept().await.unwrap();
    near.write_all(b"unread").await.unwrap();
    far.peek(&mut [0; 6]).await.unwrap();
    far.write_all(b"x").await.unwrap();
    near.read_exact(&mut [0]).await.unwrap();
    // Closed with data unread: the kernel sends a reset.
    drop(far);
    assert_eq!(rest(&mut near).await, b"");
    until_closed(&near).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_takes_no_more_still_speaks() {
    let workspace = Workspace::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_ssh, path) = local(&workspace, &format!("127.0.0.1:{}", listener.local_addr().unwrap().port())).await;
    let mut near = connect(&path).await;
    let (mut far, _) = listener.accept().await.unwrap();
    near.write_all(b"go").await.unwrap();
    far.read_exact(&mut [0; 2]).await.unwrap();
    far.write_all(b"last words").await.unwrap();
    drop(far);
    assert_eq!(rest(&mut near).await, b"last words");
    until_closed(&near).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reached_is_told_in_the_systems_words() {
    let workspace = Workspace::start().await;
    let closed = format!("127.0.0.1:{}", closed_port().await);
    let told = refusal(&workspace, &closed).await;
    assert!(told.contains("open failed: connect failed: Connection refused"), "{told}");
    let told = refusal(&workspace, "no.such.name.invalid:9").await;
    let offline = "connect failed: Temporary failure in name resolution";
    assert!(told.contains("connect failed: Name or service not known") || told.contains(offline), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_input_and_output_are_carried() {
    let workspace = Workspace::start().await;
    let echo = Peer::echo().await;
    let target = format!("localhost:{}", echo.port);
    let mut child = workspace.ssh(&["-W", &target]).arg("ws").stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let data = noise(3 * MIB);
    let send = async {
        stdin.write_all(&data).await.unwrap();
        drop(stdin);
    };
    let ((), output) = tokio::join!(send, ends(child));
    assert!(output.stdout == data, "{} bytes came back, {}", output.stdout.len(), text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_tried_at_all_its_addresses() {
    let workspace = Workspace::start().await;
    for address in ("localhost", 0).to_socket_addrs().unwrap() {
        let echo = Peer::serve(TcpListener::bind(address).await.unwrap());
        let (mut ssh, path) = local(&workspace, &format!("localhost:{}", echo.port)).await;
        assert_eq!(exchange(connect(&path).await, b"hello").await, b"hello", "{address}");
        ssh.kill().await.unwrap();
        std::fs::remove_file(path).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socks_proxy_reaches_names_and_addresses() {
    let workspace = Workspace::start().await;
    let echo = Peer::echo().await;
    let port = closed_port().await;
    let _ssh = workspace.ssh(&["-N", "-D", &format!("127.0.0.1:{port}")]).arg("ws").spawn().unwrap();
    until("a SOCKS port", || !super::listening(port).is_empty()).await;

    let named = [&[3, 9][..], b"localhost"].concat();
    for host in [&[1, 127, 0, 0, 1][..], &named] {
        let (stream, code) = socks(port, host, echo.port).await;
        assert_eq!(code, 0);
        assert_eq!(exchange(stream, b"through the proxy").await, b"through the proxy");
    }
    let (_, code) = socks(port, &named, closed_port().await).await;
    assert_ne!(code, 0, "a refused connection was told to be open");
}

/// Two hundred at once, each with bytes of its own, all open before the first ends.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_share_one_connection() {
    let workspace = Workspace::start().await;
    let echo = Peer::echo().await;
    let (_ssh, path) = local(&workspace, &format!("127.0.0.1:{}", echo.port)).await;
    let mut all = JoinSet::new();
    for n in 0..200_u32 {
        let mut stream = connect(&path).await;
        all.spawn(async move {
            stream.write_all(&n.to_be_bytes()).await.unwrap();
            let mut back = [0; 4];
            stream.read_exact(&mut back).await.unwrap();
            assert_eq!(back, n.to_be_bytes());
            stream
        });
    }
    let open = all.join_all().await;
    let mut ending: JoinSet<_> = open.into_iter().map(|stream| async { exchange(stream, b"end").await }).collect();
    let mut ended = 0;
    while let Some(back) = ending.join_next().await {
        assert_eq!(back.unwrap(), b"end");
        ended += 1;
    }
    assert_eq!(ended, 200);
}

/// The other direction is closed too: what is written meets nobody.
async fn until_closed(near: &UnixStream) {
    let broken = |fault: std::io::Error| fault.kind() == ErrorKind::BrokenPipe;
    until("a closed channel", || near.try_write(b"more").is_err_and(broken)).await;
}

/// As many as fit, then a refusal, then room again for each that has ended.
#[tokio::test(flavor = "multi_thread")]
async fn connections_are_counted() {
    let workspace = Workspace::start().await;
    let echo = Peer::echo().await;
    let session = login(&workspace).await;
    let open = || session.channel_open_direct_tcpip("127.0.0.1", echo.port.into(), "127.0.0.1", 1);
    let mut all = Vec::new();
    while all.len() < 256 {
        all.push(open().await.unwrap());
    }
    let refused = open().await.unwrap_err();
    assert!(matches!(refused, Error::ChannelOpenFailure(ChannelOpenFailure::ResourceShortage)), "{refused:?}");
    assert!(session.channel_open_direct_tcpip("127.0.0.1", 65_536, "127.0.0.1", 1).await.is_err());
    all.pop().unwrap().close().await.unwrap();
    let mut again = open().await;
    for _ in 0..100 {
        if again.is_ok() {
            break;
        }
        // Its place is free when its task has seen the close.
        tokio::task::yield_now().await;
        again = open().await;
    }
    let mut channel = again.unwrap();
    channel.data(&b"again"[..]).await.unwrap();
    assert!(matches!(channel.wait().await, Some(ChannelMsg::Data { data }) if &*data == b"again"));
}

/// What `ssh -W` says when `target` is not reached.
async fn refusal(workspace: &Workspace, target: &str) -> String {
    let output = workspace.ssh(&["-oLogLevel=INFO", "-W", target]).arg("ws").output().await.unwrap();
    assert_eq!(output.status.code(), Some(255));
    text(&output.stderr).to_owned()
}

/// Asks the proxy for `port` of `host` (RFC 1928, address type first): the stream, and the reply's code.
async fn socks(proxy: u16, host: &[u8], port: u16) -> (TcpStream, u8) {
    let socket = TcpSocket::new_v4().unwrap();
    let mut stream = socket.connect(SocketAddr::from(([127, 0, 0, 1], proxy))).await.unwrap();
    stream.write_all(&[5, 1, 0]).await.unwrap();
    stream.read_exact(&mut [0; 2]).await.unwrap();
    stream.write_all(&[&[5, 1, 0][..], host, &port.to_be_bytes()].concat()).await.unwrap();
    let mut reply = [0; 10];
    // A client that is refused its channel closes without a word.
    let code = stream.read_exact(&mut reply).await.map_or(255, |_| reply[1]);
    (stream, code)
}

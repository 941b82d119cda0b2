//! What both ends of a forward do in these tests: peers that echo, count or say nothing, and ssh with its forwards up.

mod agent;
mod local;
mod policy;
mod remote;
mod sockets;
mod stall;

use crate::harness::{Workspace, until};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy},
    net::{TcpListener, UnixStream},
    process::Child,
    task::JoinSet,
    time::timeout,
};

/// Longer than anything here takes, on a loaded machine too.
const PATIENCE: Duration = Duration::from_secs(60);

/// A peer on a port of this machine; gone when dropped.
struct Peer {
    port: u16,
    _serving: JoinSet<()>,
}

impl Peer {
    /// Sends back what it gets, and the end of it.
    async fn echo() -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn serve(listener: TcpListener) -> Self {
        let port = listener.local_addr().unwrap().port();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut all = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                while all.try_join_next().is_some() {}
                all.spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    let _ended = copy(&mut reader, &mut writer).await;
                    let _gone = writer.shutdown().await;
                });
            }
        });
        Self { port, _serving: serving }
    }
}

/// A port where nobody listens.
async fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// `ssh -N` that forwards a socket of the test to `target`; its path.
async fn local(workspace: &Workspace, target: &str) -> (Child, PathBuf) {
    let path = workspace.path("local");
    let forward = format!("{}:{target}", path.display());
    let child = workspace.ssh(&["-N", "-L", &forward]).arg("ws").spawn().unwrap();
    until("a forwarded socket", || path.exists()).await;
    (child, path)
}

/// Sends `data` and an end of file while it reads to the other's end of file.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, data: &[u8]) -> Vec<u8> {
    let mut back = Vec::new();
    let (mut reader, mut writer) = tokio::io::split(&mut stream);
    let send = async {
        writer.write_all(data).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let both = async { tokio::join!(send, reader.read_to_end(&mut back)).1.unwrap() };
    timeout(PATIENCE, both).await.expect("a forward stood still");
    back
}

/// All that still comes.
async fn rest<S: AsyncRead + Unpin>(stream: &mut S) -> Vec<u8> {
    let mut all = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("no end of file").unwrap();
    all
}

/// A connection to the socket at `path`, as soon as somebody listens: its file is there a moment before.
async fn connect(path: &Path) -> UnixStream {
    let mut connected = None;
    until("a listening socket", || {
        connected = std::os::unix::net::UnixStream::connect(path).ok();
        connected.is_some()
    })
    .await;
    let stream = connected.unwrap();
    stream.set_nonblocking(true).unwrap();
    UnixStream::from_std(stream).unwrap()
}

/// On which addresses this machine listens on `port`.
fn listening(port: u16) -> Vec<IpAddr> {
    let mut all: Vec<_> = ["/proc/net/tcp", "/proc/net/tcp6"].iter().flat_map(|file| sockets(file)).collect();
    all.retain(|address| address.port() == port);
    all.iter().map(SocketAddr::ip).collect()
}

/// The listening sockets of a table in `/proc/net`.
fn sockets(file: &str) -> Vec<SocketAddr> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let fields = text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields.filter(|fields| fields[3] == "0A").map(|fields| address(fields[1])).collect()
}

/// `0100007F:1F90` and the like: words in the machine's order, the port in the net's.
fn address(text: &str) -> SocketAddr {
    let (ip, port) = text.split_once(':').unwrap();
    let words = (0..ip.len() / 8).map(|n| u32::from_str_radix(&ip[8 * n..8 * n + 8], 16).unwrap().to_le_bytes());
    let bytes: Vec<u8> = words.flatten().collect();
    let ip = match <[u8; 4]>::try_from(&*bytes) {
        Ok(four) => IpAddr::V4(Ipv4Addr::from(four)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(&*bytes).unwrap())),
    };
    SocketAddr::new(ip, u16::from_str_radix(port, 16).unwrap())
}

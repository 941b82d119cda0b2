//! Our tunnel as daemon and agent have it, without the SSH at either end: each visitor's connection is one strand.

use anyhow::{Context, Result, anyhow};
use bytes::{Bytes, BytesMut};
use clap::Subcommand;
use drawbridge_shared::{
    native::{
        control,
        identity::Identity,
        quic::{self, Acceptor},
        resume::{Budget, Driver, Leg, StrandReader, StrandWriter, strand},
        runtime,
        talk::Talk,
        tunnel::{Stream, Tunnel},
        websocket::{self, Door, Way},
    },
    tunnel::frame::Frame,
};
use std::{
    env,
    net::{SocketAddr, UdpSocket},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    time,
};
use tokio_util::task::TaskTracker;

/// What one connection's strands may hold: a daemon's bound.
const BUDGET: usize = 32 << 20;
/// Read at once, as rathole does not: it copies 8 KiB at a time by tokio's default.
const READ: usize = 64 << 10;
/// Until the other end is called again.
const PAUSE: Duration = Duration::from_millis(100);

/// What this process is.
#[derive(Subcommand, Debug)]
pub(crate) enum End {
    /// Visitors come here
    Daemon { transport: String, tunnel: SocketAddr, visitors: SocketAddr },
    /// The service is here
    Agent { transport: String, tunnel: SocketAddr, service: SocketAddr },
}

/// Both ends, each in a process of its own.
pub(crate) fn start(transport: &str, [tunnel, visitors, service]: [SocketAddr; 3]) -> Result<[Child; 2]> {
    Ok([spawn("daemon", transport, [tunnel, visitors])?, spawn("agent", transport, [tunnel, service])?])
}

fn spawn(role: &str, transport: &str, addresses: [SocketAddr; 2]) -> Result<Child> {
    let mut end = Command::new(env::current_exe()?);
    end.args([role, transport]).args(addresses.map(|address| address.to_string()));
    end.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context("an end does not start")
}

impl End {
    /// Until it is killed, on the threads of daemon or agent.
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self::Daemon { transport, tunnel, visitors } => runtime::of_daemon()?.block_on(daemon(&transport, tunnel, visitors)),
            Self::Agent { transport, tunnel, service } => runtime::of_agent()?.block_on(agent(&transport, tunnel, service)),
        }
    }
}

fn identity() -> Identity {
    Identity::from_seed(&[5; 32])
}

async fn daemon(transport: &str, at: SocketAddr, visitors: SocketAddr) -> Result<()> {
    let tasks = TaskTracker::new();
    let tunnel = accepted(transport, at, &tasks).await?;
    listen_to(tunnel.accept().await?, &tunnel, &tasks);
    let listener = TcpListener::bind(visitors).await?;
    loop {
        let (visitor, _) = listener.accept().await?;
        let stream = tunnel.open().await?;
        tasks.spawn(carry(visitor, stream, tasks.clone()));
    }
}

async fn agent(transport: &str, at: SocketAddr, service: SocketAddr) -> Result<()> {
    let (tunnel, tasks) = (dialled(transport, at).await?, TaskTracker::new());
    let mut control = tunnel.open().await?;
    control::write(&mut control.1, &Frame::Pong).await?;
    listen_to(control, &tunnel, &tasks);
    loop {
        let stream = tunnel.accept().await?;
        let theirs = tasks.clone();
        tasks.spawn(async move { carry(TcpStream::connect(service).await?, stream, theirs).await });
    }
}

/// The control stream, with its beats.
fn listen_to(control: Stream, tunnel: &Tunnel, tasks: &TaskTracker) {
    let mut talk = Talk::new(tunnel, control);
    tasks.spawn(async move { while talk.next().await.is_ok() {} });
}

async fn accepted(transport: &str, at: SocketAddr, tasks: &TaskTracker) -> Result<Tunnel> {
    if transport == "quic" {
        let acceptor = Acceptor::new(UdpSocket::bind(at)?, &identity(), 0)?;
        let tunnel = acceptor.accept().await.context("no knock")?.admit().await?;
        tasks.spawn(async move { while acceptor.accept().await.is_some() {} });
        return Ok(tunnel);
    }
    let door = Door::new(TcpListener::bind(at).await?, &identity())?;
    let tunnel = door.accept().await?.admit().await?.ok_or_else(|| anyhow!("no tunnel"))?;
    let sockets = tasks.clone();
    tasks.spawn(async move {
        // Each is a stream's.
        while let Ok(knock) = door.accept().await {
            sockets.spawn(knock.admit());
        }
    });
    Ok(tunnel)
}

async fn dialled(transport: &str, at: SocketAddr) -> Result<Tunnel> {
    loop {
        let daemon = identity().public();
        let called = match transport {
            "quic" => quic::dial(at, daemon).await.map_err(anyhow::Error::from),
            _ => websocket::dial(Way::Straight(at), daemon).await.map_err(anyhow::Error::from),
        };
        match called {
            Ok(tunnel) => return Ok(tunnel),
            Err(_) => time::sleep(PAUSE).await,
        }
    }
}

async fn carry(socket: TcpStream, (reader, writer): Stream, tasks: TaskTracker) -> Result<()> {
    socket.set_nodelay(true)?;
    let budget = Budget::new(BUDGET);
    let (from, to, driver) = strand(&budget);
    let (read, write) = socket.into_split();
    tasks.spawn(ride(driver, Leg::new(reader, writer)));
    tasks.spawn(out(from, write));
    into(read, to).await
}

async fn ride<R, W>(driver: Driver, mut leg: Leg<R, W>)
where
    R: tokio::io::AsyncRead + Unpin + Send,
    W: drawbridge_shared::native::resume::LegWriter + Send,
{
    driver.ride(&mut leg).await;
}

async fn into(mut socket: tcp::OwnedReadHalf, mut to: StrandWriter) -> Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(READ);
        if socket.read_buf(&mut buffer).await? == 0 {
            to.finish();
            return Ok(());
        }
        to.send(Bytes::from(buffer.split())).await?;
    }
}

async fn out(mut from: StrandReader, mut socket: tcp::OwnedWriteHalf) -> Result<()> {
    while let Some(bytes) = from.chunk().await? {
        socket.write_all(&bytes).await?;
    }
    Ok(socket.shutdown().await?)
}

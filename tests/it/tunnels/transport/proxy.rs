//! An HTTP proxy that lets those through who know its password, by CONNECT or over plain HTTP.

use anyhow::{Context, Result};
use base64ct::{Base64, Encoding};
use e2e::aside::{Aside, runtime};
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Dropping it ends what goes through it.
pub(super) struct Proxy {
    address: SocketAddr,
    counts: Arc<Counts>,
    _runs: Aside,
}

#[derive(Default)]
struct Counts {
    passed: AtomicUsize,
    asked: AtomicUsize,
    refused: AtomicUsize,
}

impl Proxy {
    /// Lets those through who show `credentials`, a name and a password with a colon in between.
    pub(super) fn start(credentials: &str) -> Result<Self> {
        let runtime = runtime()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let (address, counts) = (listener.local_addr()?, Arc::<Counts>::default());
        let wanted: Arc<str> = format!("proxy-authorization: basic {}", Base64::encode_string(credentials.as_bytes())).into();
        let serve = serve(listener, wanted, Arc::clone(&counts));
        let runs = Aside::start("proxy", runtime, |stop| async move {
            stop.run_until_cancelled(serve).await;
        })?;
        Ok(Self { address, counts, _runs: runs })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many got through.
    pub(super) fn passed(&self) -> usize {
        self.counts.passed.load(Ordering::Relaxed)
    }

    /// How many calls over plain HTTP did.
    pub(super) fn asked(&self) -> usize {
        self.counts.asked.load(Ordering::Relaxed)
    }

    /// How many did not.
    pub(super) fn refused(&self) -> usize {
        self.counts.refused.load(Ordering::Relaxed)
    }
}

async fn serve(listener: TcpListener, wanted: Arc<str>, counts: Arc<Counts>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (wanted, counts) = (Arc::clone(&wanted), Arc::clone(&counts));
        connections.spawn(async move { through(stream, &wanted, &counts).await });
    }
}

async fn through(stream: TcpStream, wanted: &str, counts: &Counts) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let head = head(&mut stream).await?;
    // A header's name and the scheme's are in any case, the credentials are not.
    let known = head.iter().any(|line| {
        let split = wanted.rfind(' ').unwrap_or_default();
        line.get(..split).is_some_and(|start| start.eq_ignore_ascii_case(&wanted[..split])) && line[split..] == wanted[split..]
    });
    if !known {
        counts.refused.fetch_add(1, Ordering::Relaxed);
        return Ok(stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n").await?);
    }
    let first = head.first().context("no request")?;
    let Some(target) = first.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()) else {
        counts.asked.fetch_add(1, Ordering::Relaxed);
        return plain(stream, first, &head[1..]).await;
    };
    let mut target = TcpStream::connect(target).await?;
    counts.passed.fetch_add(1, Ordering::Relaxed);
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    copy_bidirectional(&mut stream, &mut target).await?;
    Ok(())
}

/// A call over plain HTTP, whose first line names the server: one a connection.
async fn plain(mut stream: BufReader<TcpStream>, first: &str, head: &[String]) -> Result<()> {
    let (method, url) = first.split_once(" http://").context("no such URL")?;
    let (server, rest) = url.split_once('/').context("no path")?;
    let kept = head.iter().filter(|line| !line.to_ascii_lowercase().starts_with("proxy-"));
    let head: String = kept.map(|line| format!("{line}\r\n")).collect();
    let mut server = TcpStream::connect(server).await?;
    server.write_all(format!("{method} /{rest}\r\n{head}connection: close\r\n\r\n").as_bytes()).await?;
    copy_bidirectional(&mut stream, &mut server).await?;
    Ok(())
}

/// The lines up to the empty one.
async fn head(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<String>> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        match line.trim_end() {
            "" => return Ok(head),
            line => head.push(line.to_owned()),
        }
    }
}

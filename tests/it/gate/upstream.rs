//! A way to the edge that counts the questions of one kind.

use anyhow::{Context, Result};
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
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Passes everything on until it is dropped.
pub(super) struct Upstream {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    _runs: Aside,
}

impl Upstream {
    /// To the edge at `url`; counts the questions for exactly `path`.
    pub(super) fn start(url: &str, path: &str) -> Result<Self> {
        let question = Arc::new(format!("GET {path} HTTP/1.1\r\n"));
        let target: SocketAddr = url.strip_prefix("http://").context("no http URL")?.parse()?;
        let (runtime, asked) = (runtime()?, Arc::new(AtomicUsize::new(0)));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let count = asked.clone();
        let runs = Aside::start("upstream", runtime, |stop| async move {
            stop.run_until_cancelled(serve(listener, target, (question, count))).await;
        })?;
        Ok(Self { address, asked, _runs: runs })
    }

    /// What stands for the edge's URL.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many there were.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// How a question begins, which fits one read since it is the head of a request; and how many there were.
type Count = (Arc<String>, Arc<AtomicUsize>);

async fn serve(listener: TcpListener, target: SocketAddr, count: Count) {
    let mut flows = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        flows.spawn(pass(near, target, count.clone()));
        while flows.try_join_next().is_some() {}
    }
}

async fn pass(near: TcpStream, target: SocketAddr, (question, asked): Count) -> io::Result<()> {
    let (mut from_near, mut to_near) = near.into_split();
    let (mut from_far, mut to_far) = TcpStream::connect(target).await?.into_split();
    let up = async {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = from_near.read(&mut buffer).await?;
            if count == 0 {
                return to_far.shutdown().await;
            }
            let questions = buffer[..count].windows(question.len()).filter(|window| *window == question.as_bytes()).count();
            asked.fetch_add(questions, Ordering::Relaxed);
            to_far.write_all(&buffer[..count]).await?;
        }
    };
    let down = async {
        tokio::io::copy(&mut from_far, &mut to_near).await?;
        to_near.shutdown().await
    };
    tokio::try_join!(up, down).map(drop)
}

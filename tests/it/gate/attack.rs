//! An attack on a daemon: connections held half open, failing ones, and strangers who offer keys.

use super::uniform::probe;
use anyhow::Result;
use e2e::{
    aside::{Aside, runtime},
    raw::{Message, Raw, number},
};
use futures_util::future::join_all;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time,
};

/// Connections that are held half open.
pub(super) const HALF_OPEN: usize = 500;
/// Between two connections that fail: 200 a second.
const FAILING: Duration = Duration::from_millis(5);
/// Strangers who go as far as offering a key, one connection after the other.
const KNOCKING: u8 = 8;
/// Before somebody who was thrown out comes again.
const PAUSE: Duration = Duration::from_secs(2);

/// An attack from 127.0.0.1, until it is dropped.
pub(super) struct Attack {
    over: Arc<AtomicBool>,
    strangers: Vec<JoinHandle<()>>,
    _anonymous: Aside,
}

impl Attack {
    pub(super) fn start(door: SocketAddr) -> Result<Self> {
        let anonymous = Aside::start("attack", runtime()?, move |stop| async move {
            let holders = join_all((0..HALF_OPEN).map(|n| hold(door, n)));
            tokio::select! {
                () = stop.cancelled() => {}
                _ = holders => {}
                () = fail(door) => {}
            }
        })?;
        let over = Arc::new(AtomicBool::new(false));
        let stranger = |n| {
            let over = over.clone();
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    if knock(door, n).is_err() {
                        thread::sleep(PAUSE);
                    }
                }
            })
        };
        let strangers = (0..KNOCKING).map(stranger).collect();
        Ok(Self { over, strangers, _anonymous: anonymous })
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.strangers.drain(..).for_each(|stranger| drop(stranger.join()));
    }
}

/// Exchanges keys, offers one that nobody knows, and goes.
fn knock(door: SocketAddr, n: u8) -> Result<()> {
    let mut raw = Raw::connect(door)?;
    raw.meet()?;
    raw.begin_login()?;
    raw.send(probe("stranger", &Message::bare().string("ssh-ed25519").string([n; 32]).bytes()))?;
    raw.expect(number::USERAUTH_FAILURE).map(drop)
}

/// Holds a connection that stops at one of three points, and the next one when it is thrown out.
async fn hold(door: SocketAddr, n: usize) {
    let first_bytes: [&[u8]; 3] = [b"", b"SSH-2.0-slow\r\n", b"SSH-2.0-slow\r\n\0\0\x04"];
    loop {
        // Being refused is part of it.
        let _ = until_thrown_out(door, first_bytes[n % 3]).await;
        time::sleep(PAUSE).await;
    }
}

async fn until_thrown_out(door: SocketAddr, bytes: &[u8]) -> std::io::Result<()> {
    let mut socket = TcpStream::connect(door).await?;
    socket.write_all(bytes).await?;
    socket.read_to_end(&mut Vec::new()).await.map(drop)
}

/// Opens connections that come to nothing: no SSH, a broken packet, an early end.
async fn fail(door: SocketAddr) {
    let first_bytes: [&[u8]; 3] =
        [b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-broken\r\n\xff\xff\xff\xff\xff\xff\xff\xff", b"SSH-2.0-x\r\n"];
    let mut ticks = time::interval(FAILING);
    for bytes in first_bytes.into_iter().cycle() {
        ticks.tick().await;
        let attempt = async {
            let mut socket = TcpStream::connect(door).await?;
            socket.write_all(bytes).await
        };
        let _: std::io::Result<()> = attempt.await;
    }
}

//! The agents' TCP door: heads that are too long or too slow, and sockets that say nothing.

use super::{Scene, Target, runtime};
use anyhow::{Context, Result, bail, ensure};
use drawbridge_shared::native::websocket::{self, Way};
use e2e::{SOON, Stack};
use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// More than may be in their handshake at a time.
const SILENT: usize = 600;
/// Of WebSockets that are granted and not used.
const GRANTED: usize = 50;
/// A daemon gives up on those who do not get on within 10 s.
const GIVEN_UP: Duration = Duration::from_secs(20);

pub(super) fn play(world: &Stack) -> Result<()> {
    let mut scene = Scene::new(world, "rogue-door")?;
    let (target, _workspace) = Target::new(world, &scene, &[])?;
    let address = target.address;
    let slow = thread::spawn(move || trickle(address));
    for bytes in [
        [&b"GET /"[..], &[b'a'; 1 << 20]].concat(),
        b"A: b\r\n".repeat(200_000),
        [&b"GET /v1/tunnel HTTP/1.1\r\n"[..], &b"A: b\r\n".repeat(100_000)].concat(),
        vec![0; 1 << 20],
        [&[22, 3, 1, 0xff, 0xff][..], &[0xff; 1 << 20]].concat(),
        [&[22, 3, 1, 0, 5][..], &[1, 0xff, 0xff, 0xff, 0]].concat(),
    ] {
        thrown(address, &bytes).with_context(|| format!("{:?}", &bytes[..10]))?;
    }
    scene.unharmed("crooked heads")?;
    silent(&mut scene, &target)?;
    slow.join().map_err(|_| anyhow::anyhow!("no outcome"))??;
    scene.unharmed("a slow head")?;
    scene.nothing_raw_is_logged()
}

/// Refused, in a line of HTTP's or without a word.
fn thrown(address: SocketAddr, bytes: &[u8]) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(GIVEN_UP))?;
    // Fails once the daemon has seen enough.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    ensure!(!read.is_err_and(|fault| matches!(fault.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)), "it is still there");
    let text = String::from_utf8_lossy(&answer);
    let is_alert = answer.first() == Some(&21);
    ensure!(answer.is_empty() || is_alert || text.starts_with("HTTP/1.1 400 "), "{text:?}");
    Ok(())
}

fn trickle(address: SocketAddr) -> Result<()> {
    let (mut stream, begun) = (TcpStream::connect(address)?, Instant::now());
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    for byte in b"GET /v1/tunnel HTTP/1.1\r\nHost: drawbridge\r\n" {
        let waits = |fault: std::io::Error| matches!(fault.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        if stream.write_all(&[*byte]).is_err() || !stream.read(&mut [0]).is_err_and(waits) {
            ensure!(begun.elapsed() < GIVEN_UP, "it took {:?}", begun.elapsed());
            return Ok(());
        }
    }
    bail!("a byte a second is a request")
}

/// They hold the door for as long as they are given, and no longer; who is in over the other notices nothing.
fn silent(scene: &mut Scene, target: &Target) -> Result<()> {
    let (address, runtime) = (target.address, runtime()?);
    let way = || websocket::dial(Way::Straight(address), target.identity);
    let granted = runtime.block_on(async {
        let mut granted = Vec::new();
        for _ in 0..GRANTED {
            granted.push(way().await?);
        }
        Ok::<_, anyhow::Error>(granted)
    })?;
    let held: Vec<_> = (0..SILENT).map(|_| TcpStream::connect(address)).collect::<Result<_, _>>()?;
    scene.unharmed("sockets that say nothing")?;
    let enters = async {
        loop {
            if let Ok(tunnel) = way().await {
                return target.enter(&tunnel).await;
            }
        }
    };
    runtime.block_on(async { timeout(GIVEN_UP + SOON, enters).await }).context("nobody else gets in")??;
    drop((granted, held));
    scene.unharmed("sockets that say nothing, given up")
}

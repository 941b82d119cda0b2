//! The agents' TCP door when strangers from one source take what places they can get: who comes from elsewhere gets in.

use super::{Scene, Target, agents::call_over_tcp, runtime};
use anyhow::{Context, Result};
use e2e::{SOON, Stack};
use futures_util::{StreamExt, TryStreamExt, stream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    io::ErrorKind::WouldBlock,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};
use xtask::stack::Workspace;

/// More than one source may have under way.
const STRANGERS: usize = 600;
/// Fewer than wait at a door to be accepted.
const AT_A_TIME: usize = 8;
/// Of all places, one source may have so many.
const SHARE: usize = 512;
/// A TLS connection begins with it, and the daemon waits four seconds for what comes next.
const FIRST_BYTE: u8 = 22;
/// Well below these four seconds, after which there would be room.
const AT_ONCE: Duration = Duration::from_millis(2500);

/// One source takes what it can get.
pub(super) fn shared(world: &Stack) -> Result<()> {
    let (mut scene, target, _workspace) = place(world, "shared-door")?;
    runtime()?.block_on(async {
        let held = strangers(target.address, 2, STRANGERS).await?;
        turned_away(&held, STRANGERS - SHARE).await.context("one source has more than its share")?;
        timeout(AT_ONCE, enter(&target)).await.context("nobody else gets in")?
    })?;
    scene.unharmed("strangers from one source")
}

fn place(world: &Stack, name: &str) -> Result<(Scene, Target, Workspace)> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    let scene = Scene::new(world, name)?;
    let (target, workspace) = Target::new(world, &scene, &[&format!("{name}-mallory")])?;
    Ok((scene, target, workspace))
}

async fn enter(target: &Target) -> Result<()> {
    let tunnel = call_over_tcp(target).await?;
    target.enter(&tunnel).await.map(drop)
}

/// So many from 127.0.0.`host`; each has said one byte.
async fn strangers(door: SocketAddr, host: u8, count: usize) -> Result<Vec<TcpStream>> {
    let calls = stream::iter((0..count).map(|_| stranger(door, host)));
    calls.buffer_unordered(AT_A_TIME).try_collect().await
}

async fn stranger(door: SocketAddr, host: u8) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 0, 0, host), 0).into())?;
    let mut stream = timeout(SOON, socket.connect(door)).await??;
    stream.write_all(&[FIRST_BYTE]).await?;
    Ok(stream)
}

/// The daemon closes so many of `strangers` before their time is over.
async fn turned_away(strangers: &[TcpStream], count: usize) -> Result<()> {
    let stays = |stream: &&TcpStream| stream.try_read(&mut [0]).is_err_and(|fault| fault.kind() == WouldBlock);
    let waits = async {
        while strangers.len() - strangers.iter().filter(stays).count() < count {
            sleep(Duration::from_millis(20)).await;
        }
    };
    Ok(timeout(AT_ONCE, waits).await?)
}

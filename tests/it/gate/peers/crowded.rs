//! The agents' TCP door when strangers take its places: who comes from elsewhere gets in, and so do the sockets of a tunnel that is in.

use super::{
    Scene, Target,
    agents::{call_over_tcp, visitor},
    runtime,
};
use anyhow::{Context, Result};
use drawbridge_shared::native::talk::Talk;
use e2e::{SOON, Stack};
use futures_util::{StreamExt, TryStreamExt, stream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    io::ErrorKind::WouldBlock,
    net::{Ipv4Addr, SocketAddr},
    sync::mpsc,
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use xtask::stack::Workspace;

/// More than one source may have under way, and with another all that there are.
const STRANGERS: usize = 600;
/// Fewer than wait at a door to be accepted.
const AT_A_TIME: usize = 8;
/// Who finds none.
const LATE: usize = 32;
/// Of all places, one source may have so many.
const SHARE: usize = 512;
/// A TLS connection begins with it, and the daemon waits four seconds for what comes next.
const FIRST_BYTE: u8 = 22;
/// Well below these four seconds, after which there would be room, and the daemon would ask for a socket again.
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

/// Several do, until nobody from elsewhere gets in.
pub(super) fn crowded(world: &Stack) -> Result<()> {
    let (mut scene, target, _workspace) = place(world, "crowded-door")?;
    several(&scene, &target)?;
    scene.unharmed("strangers from several sources")
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

/// A user's channel needs a socket of the agent's tunnel while all places for strangers are taken.
fn several(scene: &Scene, target: &Target) -> Result<()> {
    let (leave, left) = mpsc::sync_channel::<()>(1);
    let asks = runtime()?.block_on(async {
        let tunnel = call_over_tcp(target).await?;
        let control = target.enter(&tunnel).await?;
        let (mut signs, mut talk) = (JoinSet::new(), Talk::new(&tunnel, control));
        signs.spawn(async move { while talk.next().await.is_ok() {} });
        let held = [strangers(target.address, 2, STRANGERS).await?, strangers(target.address, 3, STRANGERS).await?];
        let late = strangers(target.address, 4, LATE).await?;
        turned_away(&late, LATE).await.context("there is room for strangers")?;
        let asks = visitor(scene, target, move |_| {
            // It stays until it is told, or nobody is left to tell it.
            let _ = left.recv();
            Ok(())
        })?;
        let mut stream = timeout(AT_ONCE, tunnel.accept()).await.context("no socket gets in")??;
        drop(held);
        stream.1.finish();
        Ok::<_, anyhow::Error>(asks)
    })?;
    drop(leave);
    // How its channel ends is another test's business.
    let _ = asks.join();
    Ok(())
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

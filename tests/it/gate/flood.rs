//! Good users log in while others hold connections half open, fail, and try unknown keys.

use super::{
    scene::{Held, NOWHERE, Scene, call},
    upstream::Upstream,
};
use crate::{Run::Alone, Test};
use anyhow::{Result, ensure};
use drawbridge_shared::native::refresh::GAP;
use e2e::{
    SOON, Stack, User,
    aside::{Aside, runtime},
    within,
};
use futures_util::future::join_all;
use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time,
};

pub(crate) const TESTS: &[Test] = &[
    ("flood::one_source_cannot_keep_others_out", Alone(one_source)),
    ("flood::there_is_room_for_many_half_open_connections", Alone(room)),
    ("flood::failed_logins_add_up_and_concern_nobody_else", Alone(penalties)),
    ("flood::unknown_keys_are_no_flood_at_the_edge", Alone(unknown_keys)),
];

/// Connections that are held half open.
const HALF_OPEN: usize = 500;
/// Between two connections that fail: 200 a second.
const FAILING: Duration = Duration::from_millis(5);
/// Before somebody who was thrown out holds the next one.
const PAUSE: Duration = Duration::from_secs(1);
/// One login of a good user takes no longer on a machine that is also busy attacking; alone it takes a tenth of a second.
const ORDINARY: Duration = Duration::from_secs(10);
/// For each half-open connection, in kB.
const MEMORY: u64 = 200;
/// Logins with unknown keys, and how many at a time.
const STRANGERS: (usize, usize) = (48, 8);

/// An attack from 127.0.0.1, until it is dropped.
fn attack(door: SocketAddr) -> Result<Aside> {
    Aside::start("attack", runtime()?, move |stop| async move {
        let holders = join_all((0..HALF_OPEN).map(|n| hold(door, n)));
        tokio::select! {
            () = stop.cancelled() => {}
            _ = holders => {}
            () = fail(door) => {}
        }
    })
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

/// Several logins of the good user by `way`, each within ordinary time; the most that the daemon held meanwhile.
fn good_user(scene: &Scene, way: &str) -> Result<Held> {
    let mut most = scene.held()?;
    for n in 0..8 {
        let begun = Instant::now();
        let entered = scene.enter(way)?;
        ensure!(entered.status == Some(0) && entered.text() == "in\n", "login {n}: {entered:?}");
        ensure!(begun.elapsed() < ORDINARY, "login {n} took {:?}", begun.elapsed());
        let held = scene.held()?;
        most = Held { descriptors: most.descriptors.max(held.descriptors), memory: most.memory.max(held.memory) };
    }
    Ok(most)
}

/// The daemon has as many descriptors as before.
fn recovers(scene: &Scene, before: Held) -> Result<()> {
    // The login deadline comes first.
    within(SOON * 2, "all of it is gone", || Ok(scene.held()?.descriptors <= before.descriptors))
}

fn one_source(world: &mut Stack) -> Result<()> {
    let scene = Scene::new(world, "besieged", &NOWHERE)?;
    scene.enter("-b 127.0.0.2")?.printed("in\n")?;
    let before = scene.held()?;
    let attack = attack(scene.door())?;
    within(SOON, "the source is at its limit", || Ok(scene.dropped("busy")? > 0.0))?;
    let most = good_user(&scene, "-b 127.0.0.2")?;
    ensure!(most.descriptors < before.descriptors + 150, "{most:?} after {before:?}: a source has its bound");
    within(SOON * 2, "the source is shut out", || Ok(scene.dropped("penalised")? > 100.0))?;
    good_user(&scene, "-b 127.0.0.2")?;
    let refused = call(&scene.user, "127.0.0.1")?;
    ensure!(refused.status == Some(255), "{refused:?}");
    drop(attack);
    ensure!(scene.dropped("crowded")? < 1.0, "nobody was dropped by chance");
    recovers(&scene, before)
}

fn room(world: &mut Stack) -> Result<()> {
    let scene = Scene::new(world, "roomy", &[])?;
    scene.enter("-b 127.0.0.1")?.printed("in\n")?;
    let before = scene.held()?;
    let attack = attack(scene.door())?;
    let held = || Ok(scene.held()?.descriptors >= before.descriptors + HALF_OPEN);
    within(SOON, "all are held", held)?;
    let most = good_user(&scene, "-b 127.0.0.1")?;
    drop(attack);
    ensure!(most.memory < before.memory + MEMORY * HALF_OPEN as u64, "{most:?} after {before:?}");
    ensure!(most.descriptors < before.descriptors + HALF_OPEN * 2, "{most:?} after {before:?}");
    ensure!(scene.dropped("crowded")? + scene.dropped("busy")? + scene.dropped("penalised")? < 1.0);
    recovers(&scene, before)
}

fn penalties(world: &mut Stack) -> Result<()> {
    let scene = Scene::new(world, "strict", &NOWHERE)?;
    let stranger = scene.here(world, &world.new_stranger("strict-stranger")?)?;
    let turned_away = "too many failed logins from your address";
    let mut tries = 0;
    within(SOON * 4, "the stranger is shut out", || {
        tries += 1;
        let refused = call(&stranger, "127.0.0.1")?;
        ensure!(refused.status == Some(255), "{refused:?}");
        Ok(refused.err.contains(turned_away))
    })?;
    ensure!(tries > 6, "after {tries} failures already");
    let neighbour = call(&scene.user, "127.0.0.1")?;
    ensure!(neighbour.status == Some(255) && neighbour.err.contains(turned_away), "{neighbour:?}");
    let other = call(&scene.user, "127.0.0.2")?;
    ensure!(other.status == Some(0), "{other:?}");
    ensure!(scene.dropped("unknown-key")? >= f64::from(tries - 1) && scene.dropped("penalised")? >= 2.0);
    let trail = std::fs::read_to_string(&scene.region.daemon.audit)?;
    ensure!(trail.matches("\"reason\":\"unknown-key\"").count() as f64 >= f64::from(tries - 1), "{trail}");
    Ok(())
}

fn unknown_keys(world: &mut Stack) -> Result<()> {
    let upstream = Upstream::start(&world.edge.url)?;
    let scene = Scene::new(world, "curious", &["--edge", &upstream.url(), "--poll-seconds", "3600"])?;
    scene.enter("-b 127.0.0.1")?.printed("in\n")?;
    let strangers = (0..STRANGERS.1).map(|n| scene.here(world, &world.new_stranger(&format!("stranger-{n}"))?));
    let strangers = strangers.collect::<Result<Vec<User>>>()?;
    let (asked, begun) = (upstream.asked(), Instant::now());
    thread::scope(|scope| {
        let calls =
            strangers.iter().map(|stranger| scope.spawn(|| (0..STRANGERS.0 / STRANGERS.1).try_for_each(|_| refused(stranger))));
        let calls: Vec<_> = calls.collect();
        calls.into_iter().try_for_each(|call| call.join().unwrap_or_else(|_| anyhow::bail!("it panicked")))
    })?;
    let (asked, lasted) = (upstream.asked() - asked, begun.elapsed());
    ensure!(scene.dropped("unknown-key")? >= STRANGERS.0 as f64);
    let bound = lasted.as_millis() / GAP.as_millis() + 2;
    ensure!(asked > 0 && asked as u128 <= bound, "{asked} questions of {} strangers in {lasted:?}", STRANGERS.0);
    Ok(())
}

fn refused(stranger: &User) -> Result<()> {
    call(stranger, "127.0.0.1")?.refused("Permission denied (publickey)")
}

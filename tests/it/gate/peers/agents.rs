//! Agents that say the wrong things, or the right ones too often, before they are in and afterwards.

use super::{Scene, Target, ended, frames, hear, runtime, say, throw};
use crate::gate::raw::channels::answers_or_ended;
use anyhow::{Context, Result, ensure};
use drawbridge_shared::{
    native::{
        control,
        identity::Identity,
        quic,
        tunnel::{Stream, Tunnel},
        websocket::{self, Way},
    },
    tunnel::{
        frame::{Frame, Reason},
        open::Opening,
        proof::Binding,
        resume::frame::Answer,
    },
};
use e2e::{
    SOON, Stack,
    raw::{Heard, Raw, message, number},
};
use serde_json::json;
use std::{
    sync::mpsc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// A user, on a thread.
type Asking = JoinHandle<Result<()>>;

/// A daemon looks for the rest of a connection once a second.
const WATCHED: Duration = Duration::from_secs(3);
/// Tunnels of one workspace that may be left and still be there.
const PARTING: usize = 8;
/// Well below the time after which such a tunnel ends by itself.
const MOMENT: Duration = Duration::from_secs(5);
/// What an agent is told that proved nothing.
const UNPROVEN: &str = "no such workspace with this key";
/// Many agents that are refused for that, one after the other, are few lines of the log.
const STRANGERS: usize = 20;
/// Asked for in one breath.
const PINGS: usize = 100_000;

pub(super) fn play(world: &Stack) -> Result<()> {
    let mut scene = Scene::new(world, "rogue-agent")?;
    let (target, _workspace) = Target::new(world, &scene, &["rogue-agent-mallory"])?;
    let runtime = runtime()?;
    runtime.block_on(first_frames(&target)).context("first frames")?;
    scene.unharmed("first frames")?;
    runtime.block_on(proofs(&target)).context("proofs")?;
    scene.unharmed("proofs")?;
    let lines = scene.lines_with(UNPROVEN)?;
    ensure!((1..STRANGERS).contains(&lines), "{lines} lines of the log tell of refused agents");
    runtime.block_on(later_frames(&target)).context("later frames")?;
    scene.unharmed("later frames")?;
    runtime.block_on(pings(&target)).context("pings")?;
    scene.unharmed("pings")?;
    for bytes in [&[0xff; 1 << 20][..], &[0; 1 << 20], &[]] {
        garbage(&scene, &target, bytes)?;
        scene.unharmed("garbage in place of a connection")?;
    }
    restless(&scene, &target).context("streams that break at once")?;
    scene.unharmed("streams that break at once")?;
    runtime.block_on(goodbyes(&target)).context("goodbyes")?;
    scene.unharmed("goodbyes")?;
    runtime.block_on(unseated(world, &target)).context("a goodbye before its key is reset")?;
    scene.nothing_raw_is_logged()
}

pub(super) async fn call_over_tcp(target: &Target) -> Result<Tunnel> {
    Ok(websocket::dial(Way::Straight(target.address), target.identity).await?)
}

pub(super) async fn call(target: &Target) -> Result<Tunnel> {
    Ok(quic::dial(target.address, target.identity).await?)
}

/// Whatever is not Hello.
async fn first_frames(target: &Target) -> Result<()> {
    for bytes in frames(target).into_iter().skip(1) {
        let tunnel = call(target).await?;
        let mut control = tunnel.open().await?;
        throw(&mut control, &bytes).await?;
        ended(&tunnel).await.with_context(|| format!("{bytes:?}"))?;
    }
    let tunnel = call(target).await?;
    let (mut control, _) = target.challenged(&tunnel).await?;
    say(&mut control, &target.hello()).await?;
    ended(&tunnel).await
}

/// Proofs for another tunnel, for another daemon, by another key, and of another time.
async fn proofs(target: &Target) -> Result<()> {
    let elsewhere = call(target).await?;
    let (_control, nonce) = target.challenged(&elsewhere).await?;
    let replayed = target.proof(&elsewhere, &nonce)?;
    refused(target, |_, _| Ok(replayed.clone())).await?;
    refused(target, |tunnel, _| target.proof(tunnel, &nonce)).await?;
    refused(target, |_, nonce| target.proof(&elsewhere, nonce)).await?;
    let other = Identity::from_seed(&[9; 32]);
    refused(target, |tunnel, nonce| {
        let exporter = tunnel.exporter()?;
        let binding = Binding { nonce, daemon: &other.public().0, workspace: &target.workspace, exporter: &exporter };
        Ok(Frame::Proof { signature: binding.sign(&target.key.ssh())? })
    })
    .await?;
    for _ in 0..STRANGERS {
        refused(target, |_, _| Ok(replayed.clone())).await?;
    }
    // They would have been good in their place.
    let tunnel = call(target).await?;
    target.enter(&tunnel).await.map(drop)
}

async fn refused(target: &Target, prove: impl Fn(&Tunnel, &[u8; 32]) -> Result<Frame>) -> Result<()> {
    let tunnel = call(target).await?;
    let (mut control, nonce) = target.challenged(&tunnel).await?;
    say(&mut control, &prove(&tunnel, &nonce)?).await?;
    let answer = hear(&mut control).await?;
    ensure!(matches!(answer, Frame::Refuse { reason: Reason::NotRegistered, .. }), "{answer:?}");
    Ok(())
}

/// An agent that is in says that it drains, says goodbye, or asks for signs of life, and nothing else.
async fn later_frames(target: &Target) -> Result<()> {
    for bytes in frames(target).into_iter().filter(|bytes| *bytes != Frame::Drain.encode()) {
        let tunnel = call(target).await?;
        let mut control = target.enter(&tunnel).await?;
        let second = timeout(Duration::from_millis(100), tunnel.open()).await;
        ensure!(second.is_err(), "an agent opened a second stream");
        throw(&mut control, &bytes).await?;
        ended(&tunnel).await.with_context(|| format!("{bytes:?}"))?;
    }
    Ok(())
}

/// Of those that were left and stay, a workspace has few, and none for long with nothing on it.
async fn goodbyes(target: &Target) -> Result<()> {
    let mut left = Vec::new();
    for _ in 0..2 * PARTING {
        left.push(parted(target).await?);
    }
    let begun = Instant::now();
    let first: Vec<_> = left.iter().take(PARTING - 1).collect();
    for (tunnel, _) in first {
        ended(tunnel).await.context("it is left in addition")?;
    }
    ensure!(begun.elapsed() < MOMENT, "the first were there for {:?}", begun.elapsed());
    for (tunnel, _) in &left {
        ended(tunnel).await.context("nothing runs there")?;
    }
    Ok(())
}

/// A goodbye saves no agent from the end of its key.
async fn unseated(world: &Stack, target: &Target) -> Result<()> {
    let (tunnel, _control) = parted(target).await?;
    ensure!(timeout(Duration::from_millis(200), tunnel.closed()).await.is_err(), "a goodbye is no end");
    world.edge.operator().delete(&format!("/api/operator/workspaces/{}/agent-key", target.workspace), &json!({}))?.ok()?;
    timeout(MOMENT, tunnel.closed()).await.map(drop).context("it outlived its key")
}

/// A tunnel whose agent has said goodbye and does not go.
async fn parted(target: &Target) -> Result<(Tunnel, Stream)> {
    let tunnel = call(target).await?;
    let mut control = target.enter(&tunnel).await?;
    say(&mut control, &Frame::Goodbye { reason: Reason::Stopping, words: "raw".into() }).await?;
    Ok((tunnel, control))
}

/// Each is answered, or the tunnel is ended: what is not is that answers pile up.
async fn pings(target: &Target) -> Result<()> {
    let tunnel = call(target).await?;
    let mut control = target.enter(&tunnel).await?;
    throw(&mut control, &Frame::Ping.encode().repeat(PINGS)).await?;
    for _ in 0..PINGS {
        match timeout(SOON, control::read(&mut control.0)).await.context("silence")? {
            Ok(pong) => ensure!(matches!(pong, Frame::Pong | Frame::KeysChanged { .. }), "{pong:?}"),
            Err(_) => return ended(&tunnel).await,
        }
    }
    Ok(())
}

/// A user's channel to a workspace that answers with anything but a connection: it may wait for a better tunnel, and the
/// user's connection is none the worse for it.
fn garbage(scene: &Scene, target: &Target, bytes: &'static [u8]) -> Result<()> {
    let asks = visitor(scene, target, answers_or_ended)?;
    runtime()?.block_on(async {
        let tunnel = call(target).await?;
        let _control = target.enter(&tunnel).await?;
        // The user may have asked before there was anybody to ask.
        while !asks.is_finished() {
            if let Ok(Ok(mut stream)) = timeout(Duration::from_millis(100), tunnel.accept()).await {
                // Fails when the daemon has seen enough.
                let _ = throw(&mut stream, bytes).await;
                stream.1.finish();
            }
        }
        Ok::<_, anyhow::Error>(())
    })?;
    asks.join().map_err(|_| anyhow::anyhow!("no outcome"))?
}

/// A user who asks for the target's workspace, and what it does once it is answered.
fn visitor(scene: &Scene, target: &Target, then: impl FnOnce(&mut Raw) -> Result<()> + Send + 'static) -> Result<Asking> {
    let mut user = scene.jump().entered()?;
    let workspace = target.workspace.to_string();
    Ok(thread::spawn(move || {
        user.send(message::direct(1, workspace, 22))?;
        let answer = user.hear()?;
        let told = matches!(&answer, Heard::Packet(packet)
            if matches!(packet.first(), Some(&(number::CHANNEL_OPEN_CONFIRMATION | number::CHANNEL_OPEN_FAILURE))));
        ensure!(told, "{answer:?}");
        then(&mut user)
    }))
}

/// An agent that takes every connection up and lets it fall has the daemon come again at its own pace.
fn restless(scene: &Scene, target: &Target) -> Result<()> {
    let (leave, left) = mpsc::sync_channel::<()>(1);
    let mut asks = None;
    let times = runtime()?.block_on(async {
        let tunnel = call(target).await?;
        let _control = target.enter(&tunnel).await?;
        asks = Some(visitor(scene, target, move |_| {
            // It stays until it is told, or nobody is left to tell it.
            let _ = left.recv();
            Ok(())
        })?);
        let mut times = 0;
        let counts = async {
            loop {
                let mut stream = tunnel.accept().await?;
                times += 1;
                if let Opening::Resume(_) = control::read_opening(&mut stream.0).await? {
                    throw(&mut stream, &Answer::Resumed { received: 0 }.encode()).await?;
                }
            }
        };
        let counted: Result<Result<()>, _> = timeout(WATCHED, counts).await;
        ensure!(counted.is_err(), "the tunnel has ended: {counted:?}");
        Ok(times)
    })?;
    drop(leave);
    asks.context("nobody asked")?.join().map_err(|_| anyhow::anyhow!("no outcome"))??;
    ensure!((2..=2 + 2 * WATCHED.as_secs()).contains(&times), "it came {times} times within {} s", WATCHED.as_secs());
    Ok(())
}

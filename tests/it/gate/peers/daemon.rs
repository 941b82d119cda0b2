//! A daemon that the edge vouches for and that means harm, beside one that serves.

use super::{Scene, Target, frames, hear, runtime, say, throw};
use anyhow::{Context, Result, bail, ensure};
use drawbridge_shared::{
    native::{
        control,
        identity::Identity,
        quic::Acceptor,
        tunnel::{Stream, Tunnel},
    },
    tunnel::{
        NONCE,
        frame::Frame,
        instance::Instance,
        resume::{
            frame::{Answer, Resume},
            ticket::{ID, SECRET, Secret, StrandId, Ticket},
        },
    },
};
use e2e::{SOON, Stack};
use serde_json::json;
use std::net::UdpSocket;
use tokio::time::timeout;

/// An agent that lost a tunnel dials again, after some seconds at most.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(40);

pub(super) fn play(world: &Stack) -> Result<()> {
    let mut scene = Scene::new(world, "rogue-daemon")?;
    let (target, _workspace) = Target::new(world, &scene, &[])?;
    let runtime = runtime()?;
    let identity = Identity::from_seed(&[13; 32]);
    let acceptor = runtime.block_on(async { Acceptor::new(UdpSocket::bind("127.0.0.1:0")?, &identity, 0) })?;
    let entry = json!({
        "identity": identity.public().to_line(),
        "region": scene.place.region.name,
        "addresses": [acceptor.local_addr()?],
    });
    let path = "/api/operator/daemons/rogue-daemon-2";
    world.edge.operator().put(path, &entry)?.ok()?;
    let played = runtime.block_on(harm(&acceptor, &target));
    world.edge.operator().delete(path, &json!({}))?.ok()?;
    played?;
    scene.unharmed("a hostile daemon")?;
    scene.nothing_raw_is_logged()
}

async fn harm(acceptor: &Acceptor, target: &Target) -> Result<()> {
    // Out of turn in place of a challenge, then in place of Welcome, then behind it: the agent goes, and comes again.
    let crooked = frames(target).into_iter().skip(2).take(2).chain([vec![0xff; 64]]);
    for bytes in crooked {
        let (tunnel, mut control) = knock(acceptor).await?;
        hello(&mut control).await?;
        throw(&mut control, &bytes).await?;
        gone(&tunnel).await.with_context(|| format!("in place of a challenge: {bytes:?}"))?;
    }
    let (tunnel, mut control) = welcomed(acceptor).await?;
    streams(&tunnel).await.context("streams")?;
    // Coalesced, whatever they say.
    let changed = Frame::KeysChanged { seq: drawbridge_shared::id::SnapshotSeq(u64::MAX) };
    throw(&mut control, &changed.encode().repeat(10_000)).await?;
    say(&mut control, &Frame::Ping).await?;
    while hear(&mut control).await? != Frame::Pong {}
    // Sockets are dialled over WebSocket only.
    let dial = Frame::Dial { ticket: drawbridge_shared::tunnel::ticket::Ticket([1; 32]) };
    throw(&mut control, &dial.encode().repeat(10_000)).await?;
    gone(&tunnel).await.context("endless dials")
}

/// The next agent that calls. TLS names us, and the signed directory names our key.
async fn knock(acceptor: &Acceptor) -> Result<(Tunnel, Stream)> {
    let knocks = async {
        loop {
            let knock = acceptor.accept().await.context("the door is closed")?;
            if let Ok(tunnel) = knock.admit().await
                && let Ok(control) = tunnel.accept().await
            {
                return Ok((tunnel, control));
            }
        }
    };
    timeout(AGAIN, knocks).await.context("no agent calls")?
}

async fn hello(control: &mut Stream) -> Result<()> {
    match hear(control).await? {
        Frame::Hello { .. } => Ok(()),
        other => bail!("{other:?}"),
    }
}

async fn welcomed(acceptor: &Acceptor) -> Result<(Tunnel, Stream)> {
    let (tunnel, mut control) = knock(acceptor).await?;
    hello(&mut control).await?;
    say(&mut control, &Frame::Challenge { nonce: [3; NONCE] }).await?;
    ensure!(matches!(hear(&mut control).await?, Frame::Proof { .. }), "no proof");
    say(&mut control, &Frame::Welcome { generation: u64::MAX, alone: false, instance: Instance([1; 16]) }).await?;
    Ok((tunnel, control))
}

async fn gone(tunnel: &Tunnel) -> Result<()> {
    timeout(SOON, tunnel.closed()).await.map(drop).context("the agent is still there")
}

/// Streams with a header that never comes whole, with one that is none, and for connections that are not there.
async fn streams(tunnel: &Tunnel) -> Result<()> {
    let mut unsaid = Vec::new();
    for _ in 0..200 {
        let mut stream = timeout(SOON, tunnel.open()).await.context("no stream")??;
        throw(&mut stream, &[0]).await?;
        unsaid.push(stream);
    }
    let huge = [&[0, 0, 0x1f, 0xff, 32][..], &[0xff; 0x1ffe]].concat();
    for bytes in
        [&[0; 4][..], &[0xff; 64], &[0, 0, 0x20, 1, 32], &[0, 0, 0, 1, 32], &[0, 0, 0, 2, 33, 0], &[0, 0, 0, 1, 99], &huge]
    {
        let mut stream = tunnel.open().await?;
        throw(&mut stream, bytes).await?;
        let answer = timeout(SOON, control::read_answer(&mut stream.0)).await.context("such a stream is kept")?;
        ensure!(answer.is_err(), "{answer:?}");
    }
    let ticket = Ticket { id: StrandId([1; ID]), secret: Secret::new([2; SECRET]) };
    for leg in [0, 1, u64::MAX] {
        let mut stream = tunnel.open().await?;
        throw(&mut stream, &Resume::new(&ticket, leg, u64::MAX).encode()).await?;
        let answer = timeout(SOON, control::read_answer(&mut stream.0)).await.context("no answer")??;
        ensure!(matches!(answer, Answer::Gone { .. }), "{answer:?}");
    }
    Ok(())
}

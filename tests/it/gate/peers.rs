//! Agents and daemons that keep no rule of the tunnel's, on real sockets: those of others notice nothing.

mod agents;
mod crowded;
mod daemon;
mod door;
mod jammed;

use super::raw::scene::Scene;
use crate::{Run::Shared, Test};
use anyhow::{Context, Result, ensure};
use drawbridge_shared::{
    id::WorkspaceId,
    native::{
        control,
        identity::{Identity, PublicIdentity},
        state_dir::StateDir,
        tunnel::{Stream, Tunnel},
    },
    tunnel::{
        NONCE, VERSION,
        frame::{Frame, Reason},
        instance::Instance,
        proof::Binding,
    },
};
use e2e::{SOON, Stack};
use std::{fs, net::SocketAddr};
use tokio::{
    io::AsyncWriteExt,
    runtime::{Builder, Runtime},
    time::timeout,
};
use xtask::stack::Workspace;

pub(crate) const TESTS: &[Test] = &[
    ("peers::hostile_agents_harm_nobody", Shared(agents::play)),
    ("peers::hostile_callers_of_the_agents_door_harm_nobody", Shared(door::play)),
    ("peers::a_door_that_one_source_crowds_has_room_for_others", Shared(crowded::shared)),
    ("peers::a_jammed_tcp_door_holds_up_nobody_over_quic", Shared(jammed::play)),
    ("peers::a_hostile_daemon_harms_no_agent", Shared(daemon::play)),
];

/// A daemon as those know it who call it, and a workspace whose key is in the wrong hands.
struct Target {
    address: SocketAddr,
    identity: PublicIdentity,
    workspace: WorkspaceId,
    key: Identity,
}

impl Target {
    /// The scene's daemon, and a workspace of its region beside the scene's own.
    fn new(world: &Stack, scene: &Scene, members: &[&str]) -> Result<(Self, Workspace)> {
        let region = &scene.place.region;
        let mut workspace = world.workspace_in(region, &format!("{}-rogue", region.name), members, &[])?;
        workspace.agent.stop();
        let line = world.dir().join("regions").join(&region.name).join("daemon/identity.pub");
        let identity = PublicIdentity::from_line(&fs::read_to_string(line)?)?;
        let key = StateDir::open(&workspace.state_dir)?.identity("workspace_key")?;
        Ok((Self { address: region.daemon.tunnel, identity, workspace: workspace.id.parse()?, key }, workspace))
    }

    fn hello(&self) -> Frame {
        let instance = Instance([7; 16]);
        let (workspace, agent) = (self.workspace.clone(), "raw".into());
        Frame::Hello { version: VERSION, workspace, instance, accepts: true, alone: false, agent }
    }

    /// What proves the workspace's key to the daemon over `tunnel`.
    fn proof(&self, tunnel: &Tunnel, nonce: &[u8; NONCE]) -> Result<Frame> {
        let exporter = tunnel.exporter()?;
        let binding = Binding { nonce, daemon: &self.identity.0, workspace: &self.workspace, exporter: &exporter };
        Ok(Frame::Proof { signature: binding.sign(&self.key.ssh())? })
    }

    /// As far as the challenge.
    async fn challenged(&self, tunnel: &Tunnel) -> Result<(Stream, [u8; NONCE])> {
        let mut control = tunnel.open().await?;
        say(&mut control, &self.hello()).await?;
        match hear(&mut control).await? {
            Frame::Challenge { nonce } => Ok((control, nonce)),
            other => anyhow::bail!("no challenge: {other:?}"),
        }
    }

    /// All the way in.
    async fn enter(&self, tunnel: &Tunnel) -> Result<Stream> {
        let (mut control, nonce) = self.challenged(tunnel).await?;
        say(&mut control, &self.proof(tunnel, &nonce)?).await?;
        let welcome = hear(&mut control).await?;
        ensure!(matches!(welcome, Frame::Welcome { .. }), "{welcome:?}");
        Ok(control)
    }
}

/// Every kind of frame, and bytes that are none.
fn frames(target: &Target) -> Vec<Vec<u8>> {
    let (reason, words) = (Reason::Draining, "raw".to_owned());
    let frames = [
        target.hello(),
        Frame::Challenge { nonce: [1; NONCE] },
        Frame::Proof { signature: "none".into() },
        Frame::Welcome { generation: u64::MAX, alone: false, instance: Instance([1; 16]) },
        Frame::Refuse { reason, words, retry_after: SOON },
        Frame::Drain,
        Frame::KeysChanged { seq: drawbridge_shared::id::SnapshotSeq(u64::MAX) },
        Frame::Dial { ticket: drawbridge_shared::tunnel::ticket::Ticket([1; 32]) },
    ];
    let none = [&[0; 4][..], &[0xff; 64], &[0, 0, 0x20, 1, 1], &[0, 0, 0, 1, 200], &[0, 0, 0, 2, 1, 0], &[0, 0, 0, 1, 0]];
    frames.iter().map(Frame::encode).chain(none.iter().map(|bytes| bytes.to_vec())).collect()
}

async fn say(control: &mut Stream, frame: &Frame) -> Result<()> {
    Ok(control::write(&mut control.1, frame).await?)
}

async fn hear(control: &mut Stream) -> Result<Frame> {
    Ok(timeout(SOON, control::read(&mut control.0)).await.context("silence")??)
}

/// The other side ends the tunnel.
async fn ended(tunnel: &Tunnel) -> Result<()> {
    timeout(SOON, tunnel.closed()).await.map(drop).context("the tunnel is still there")
}

/// Bytes as they are.
async fn throw(control: &mut Stream, bytes: &[u8]) -> Result<()> {
    control.1.write_all(bytes).await?;
    Ok(control.1.flush().await?)
}

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}

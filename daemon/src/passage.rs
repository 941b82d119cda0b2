//! The way of a leaving daemon's connections to agents: their tunnels are with the process that took its place, which gives
//! streams of them away over a socket in the state folder.
//!
//! A caller sends [`Asked`], gets the name of the agent's process, and then has that stream. A call that cannot be answered is
//! closed. That one end closes its socket is no end of the connection: strands say their end themselves.

mod asked;
mod stream;

pub(crate) use stream::{Incoming, Outgoing, own};

use crate::{
    jammed::Jammed,
    limits::{ACCEPT_PAUSE, MAX_PASSAGES, OPEN_TIMEOUT},
    link::Link,
    registry::Registry,
};
use asked::Asked;
use drawbridge_shared::{
    id::WorkspaceId,
    native::{slot::Slot, state_dir::StateDir},
    tunnel::instance::{INSTANCE, Instance},
};
use std::{io, path::PathBuf, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional_with_sizes, join},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

/// Bytes that are copied at once: two TLS records.
const PIECE: usize = 32 * 1024;

/// To the process that takes this one's place; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Passage {
    state: StateDir,
    slot: Arc<Slot>,
}

impl Passage {
    /// Of the holder of `slot` on `state`.
    pub(crate) const fn new(state: StateDir, slot: Arc<Slot>) -> Self {
        Self { state, slot }
    }

    /// A stream to `instance`, an agent process of `workspace`, or to whichever takes new streams. Fails where there is no
    /// successor, or it does not have that agent.
    pub(crate) async fn open(
        &self,
        workspace: &WorkspaceId,
        instance: Option<Instance>,
    ) -> io::Result<(Instance, (Incoming, Outgoing))> {
        if self.slot.successor().is_none() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let mut stream = UnixStream::connect(path(&self.state, 1 - self.slot.number())).await?;
        stream.write_all(&Asked { workspace: workspace.clone(), instance }.encode()).await?;
        let mut found = [0; INSTANCE];
        stream.read_exact(&mut found).await?;
        Ok((Instance(found), stream::halves(stream)))
    }

    /// Gives streams of the tunnels in `registry` to the process that was here first, until `end`. A daemon that cannot still
    /// serves: connections of its predecessor end with their tunnels then.
    pub(crate) async fn serve(self, registry: Registry<Link>, end: CancellationToken) {
        match self.listen() {
            Ok(listener) => drop(end.run_until_cancelled(give(listener, registry, &end)).await),
            Err(fault) => warn!(%fault, "cannot be reached by the process before: its connections end with their tunnels"),
        }
    }

    fn listen(&self) -> io::Result<UnixListener> {
        let path = path(&self.state, self.slot.number());
        match std::fs::remove_file(&path) {
            Err(fault) if fault.kind() != io::ErrorKind::NotFound => return Err(fault),
            _ => {}
        }
        UnixListener::bind(path)
    }
}

/// In a folder that is its user's alone.
fn path(state: &StateDir, slot: u8) -> PathBuf {
    state.path(&format!("passage.{slot}"))
}

async fn give(listener: UnixListener, registry: Registry<Link>, end: &CancellationToken) {
    let (tasks, places) = (TaskTracker::new(), Arc::new(Semaphore::new(MAX_PASSAGES)));
    let mut jammed = Jammed::new("the process before");
    loop {
        let place = places.clone().acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let (registry, end) = (registry.clone(), end.clone());
                tasks.spawn(async move {
                    if let Some(Err(fault)) = end.run_until_cancelled(pass(stream, &registry)).await {
                        debug!(%fault, "a passage ended");
                    }
                    drop(place);
                });
            }
            Err(fault) => {
                jammed.tell(&fault);
                time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn pass(mut stream: UnixStream, registry: &Registry<Link>) -> io::Result<()> {
    let opened = time::timeout(OPEN_TIMEOUT, async {
        let Asked { workspace, instance } = Asked::read(&mut stream).await?;
        let link = match instance {
            Some(instance) => registry.of_process(&workspace, instance).into_iter().next(),
            None => registry.active(&workspace),
        };
        let link = link.ok_or(io::ErrorKind::NotConnected)?;
        let halves = link.open().await?;
        stream.write_all(&link.instance().0).await?;
        Ok::<_, io::Error>(halves)
    });
    let (reader, writer) = opened.await??;
    copy_bidirectional_with_sizes(&mut stream, &mut join(reader, writer), PIECE, PIECE).await.map(drop)
}

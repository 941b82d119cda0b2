//! Keeps the tunnel of one line: calls it, proves itself, serves, goes back to QUIC when it can, and tries again.

mod again;
mod entry;
mod greet;
mod memory;
mod probes;
mod race;
mod reach;

pub(crate) use entry::Entries;
pub use reach::{Choice, Routes};

use crate::{
    limits::{DIAL_RETRY, HANDSHAKE_TIMEOUT, NAME_HEAD_START},
    lines::Line,
    serve::{Host, Parting, Service},
    status::TunnelStatus,
};
use again::Again;
use drawbridge_shared::{
    backoff::Backoff,
    id::WorkspaceId,
    native::{
        clock,
        control::ControlFault,
        identity::{Identity, PublicIdentity},
        slot::Slot,
        tunnel::{Stream, Transport},
    },
    signed::CannotSign,
    time::Timestamp,
    tunnel::instance::Instance,
};
use entry::Entry;
use futures_util::FutureExt;
use memory::Memory;
use probes::Probes;
use race::race;
use rand::RngExt;
use reach::{Found, NoRoute};
use std::{sync::Arc, time::Duration};
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// Everything that a tunnel of this workspace needs.
#[derive(Clone)]
pub(crate) struct Dialer {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// This process.
    pub instance: Instance,
    /// Its place among those of the workspace.
    pub slot: Arc<Slot>,
    /// Its key.
    pub key: Identity,
    /// What runs over the tunnel.
    pub service: Service,
    /// Where it reports.
    pub entries: Entries,
    /// How it gets out.
    pub routes: Routes,
}

/// Why a tunnel did not come about.
#[derive(Debug, thiserror::Error)]
enum DialFault {
    #[error("the directory names no usable identity for this daemon")]
    Identity,
    #[error(transparent)]
    Route(#[from] NoRoute),
    #[error("no welcome within {} s", HANDSHAKE_TIMEOUT.as_secs())]
    Slow,
    #[error(transparent)]
    Control(#[from] ControlFault),
    #[error(transparent)]
    Key(#[from] CannotSign),
    #[error("refused: {words}")]
    Refused { words: String, retry_after: Duration },
    #[error("the directory names no address for this daemon")]
    Nowhere,
}

/// A tunnel that is registered.
struct Reached<'a> {
    found: Found,
    control: Stream,
    /// Under which of the daemon's names.
    name: &'a str,
    host: Host,
}

impl Dialer {
    /// Posts that `line` is to be had.
    pub(crate) fn announce(&self, line: Line) -> Entry {
        let entry = self.entries.enter(line);
        entry.post(TunnelStatus::Dialled { since: clock::now() });
        entry
    }

    /// Keeps the tunnel of the line of `entry` until `stop`.
    pub(crate) async fn run(self, entry: Entry, stop: CancellationToken) {
        let mut backoff = Backoff::new(DIAL_RETRY.0, DIAL_RETRY.1);
        let mut memory = Memory::default();
        while !stop.is_cancelled() {
            let reached = tokio::select! {
                () = stop.cancelled() => break,
                reached = self.reach(&entry.line, &memory) => reached,
            };
            let up = time::Instant::now();
            let (reason, again) = match reached {
                Ok(reached) => self.serve(&entry, reached, &mut memory, &stop).await,
                Err(fault) => (fault.to_string(), fault.again()),
            };
            let wait = again.wait(&mut backoff, up.elapsed(), rand::rng().random());
            rest(&entry, reason, wait, &stop).await;
        }
    }

    /// One tunnel to its end, or several that relieve each other. Returns why the last one ended and when to call again.
    async fn serve<'a>(
        &self,
        entry: &Entry,
        mut reached: Reached<'a>,
        memory: &mut Memory<'a>,
        stop: &CancellationToken,
    ) -> (String, Again) {
        loop {
            let Reached { found, control, name, host } = reached;
            let transport = found.tunnel.transport();
            let since = clock::now();
            memory.worked(name, transport);
            info!(line = %entry.line, address = %found.address, %transport, why = %found.why, "tunnel up");
            let returns = transport == Transport::WebSocket && self.routes.choice == Choice::Auto;
            if !returns {
                connected(entry, (&found, since), None);
            }
            let retire = CancellationToken::new();
            let serving = self.service.run(host, found.tunnel.clone(), control, stop, &retire);
            tokio::pin!(serving);
            let better = tokio::select! {
                parting = &mut serving => return outcome(parting),
                better = self.better(entry, (&found, since), name, host.identity), if returns => better,
            };
            // The new one is registered: the old one serves what it has to its end.
            retire.cancel();
            serving.await;
            reached = better;
        }
    }

    /// Waits until the daemon is reached over QUIC too.
    async fn better<'a>(
        &self,
        entry: &Entry,
        found: (&Found, Timestamp),
        name: &'a str,
        identity: PublicIdentity,
    ) -> Reached<'a> {
        let mut probes = Probes::default();
        loop {
            let wait = probes.next(rand::rng().random());
            connected(entry, found, Some(clock::now().after(wait)));
            time::sleep(wait).await;
            let probed = async {
                let found = self.routes.probe(name, identity).await?;
                self.welcomed(found, name, identity).await
            };
            match probed.await {
                Ok(reached) => return reached,
                Err(fault) => debug!(line = %entry.line, %fault, "QUIC still does not get through"),
            }
        }
    }

    /// The first of the line's names under which it welcomes us.
    async fn reach<'a>(&self, line: &'a Line, memory: &Memory<'a>) -> Result<Reached<'a>, DialFault> {
        let identity = PublicIdentity::from_line(&line.identity).map_err(|_| DialFault::Identity)?;
        let call = |name| {
            let last = memory.transport(name);
            async move {
                let found = self.routes.call(name, identity, last).await?;
                self.welcomed(found, name, identity).await
            }
        };
        let runners = memory.order(&line.names).map(|name| call(name).boxed()).collect();
        race(runners, NAME_HEAD_START).await.map(|(reached, _)| reached).map_err(DialFault::of_all)
    }

    async fn welcomed<'a>(&self, found: Found, name: &'a str, identity: PublicIdentity) -> Result<Reached<'a>, DialFault> {
        let greeted = time::timeout(HANDSHAKE_TIMEOUT, self.greet(&found.tunnel, identity)).await;
        match greeted.unwrap_or(Err(DialFault::Slow)) {
            Ok((control, host)) => Ok(Reached { found, control, name, host }),
            Err(fault) => {
                found.tunnel.close("the handshake ended");
                Err(fault)
            }
        }
    }
}

fn connected(entry: &Entry, (found, since): (&Found, Timestamp), quic_again: Option<Timestamp>) {
    let Found { tunnel, address, proxy, why } = found;
    let (transport, address, proxy, why) = (tunnel.transport().to_string(), address.clone(), proxy.clone(), why.clone());
    entry.post(TunnelStatus::Connected { transport, address, proxy, since, why, quic_again });
}

async fn rest(entry: &Entry, reason: String, wait: Duration, stop: &CancellationToken) {
    if stop.is_cancelled() {
        return;
    }
    warn!(line = %entry.line, %reason, retry_ms = wait.as_millis() as u64, "no tunnel");
    entry.post(TunnelStatus::Disconnected { reason, since: clock::now() });
    tokio::select! {
        () = stop.cancelled() => {}
        () = time::sleep(wait) => {}
    }
}

impl DialFault {
    /// Of several names' faults: what the daemon itself said, or else the last one's.
    fn of_all(faults: Vec<Self>) -> Self {
        faults.into_iter().max_by_key(|fault| matches!(fault, Self::Refused { .. })).unwrap_or(Self::Nowhere)
    }

    /// A daemon's refusal has its own time.
    const fn again(&self) -> Again {
        match self {
            Self::Refused { retry_after, .. } => Again::Later(*retry_after),
            _ => Again::Later(Duration::ZERO),
        }
    }
}

fn outcome(parting: Parting) -> (String, Again) {
    match parting {
        Parting::Dismissed { reason, words } => (format!("the daemon said goodbye: {words}"), Again::after(reason)),
        Parting::Broke(fault) => (fault, Again::Later(Duration::ZERO)),
    }
}

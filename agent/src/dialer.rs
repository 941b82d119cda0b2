//! Keeps a tunnel to one daemon: calls it, proves itself, serves, goes back to QUIC when it can, and tries again.

mod greet;
mod probes;
mod race;
mod reach;

pub use reach::{Choice, Routes};

use crate::{
    limits::{DIAL_RETRY, HANDSHAKE_TIMEOUT, SUPERSEDED_PAUSE},
    serve::{Parting, Service},
    status::{Board, TunnelStatus},
};
use drawbridge_shared::{
    backoff::Backoff,
    id::WorkspaceId,
    native::{
        clock,
        control::ControlFault,
        identity::{Identity, PublicIdentity},
        tunnel::{Stream, Transport},
    },
    signed::CannotSign,
    snapshot::directory::DaemonEntry,
    time::Timestamp,
    tunnel::{frame::Reason, instance::Instance},
};
use probes::Probes;
use rand::RngExt;
use reach::{Found, NoRoute};
use std::{collections::HashMap, time::Duration};
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
    /// Its key.
    pub key: Identity,
    /// What runs over the tunnel.
    pub service: Service,
    /// Where it reports.
    pub board: Board,
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
    Refused { reason: Reason, words: String, retry_after: Duration },
    #[error("the directory names no address for this daemon")]
    Nowhere,
}

/// A tunnel that is registered.
struct Reached<'a> {
    found: Found,
    control: Stream,
    /// Under which of the daemon's names.
    name: &'a str,
    identity: PublicIdentity,
}

impl Dialer {
    /// Keeps a tunnel to `daemon` until `stop`.
    pub(crate) async fn run(self, daemon: DaemonEntry, stop: CancellationToken) {
        let mut backoff = Backoff::new(DIAL_RETRY.0, DIAL_RETRY.1);
        let mut worked = HashMap::new();
        while !stop.is_cancelled() {
            let begun = time::Instant::now();
            let reached = tokio::select! {
                () = stop.cancelled() => break,
                reached = self.reach(&daemon, &worked) => reached,
            };
            let (reason, least) = match reached {
                Ok(reached) => self.serve(&daemon, reached, &mut worked, &stop).await,
                Err(DialFault::Refused { reason, words, retry_after }) => {
                    (format!("refused: {words}"), retry_after + pause(reason))
                }
                Err(fault) => (fault.to_string(), Duration::ZERO),
            };
            let wait = least + backoff.after(begun.elapsed(), rand::rng().random());
            self.rest(&daemon, reason, wait, &stop).await;
        }
        self.board.post(|status| drop(status.tunnels.remove(&daemon.id)));
    }

    /// One tunnel to its end, or several that relieve each other. Returns why the last one ended and what to wait at least.
    async fn serve<'a>(
        &self,
        daemon: &DaemonEntry,
        mut reached: Reached<'a>,
        worked: &mut HashMap<&'a str, Transport>,
        stop: &CancellationToken,
    ) -> (String, Duration) {
        loop {
            let Reached { found, control, name, identity } = reached;
            let transport = found.tunnel.transport();
            let since = clock::now();
            worked.insert(name, transport);
            info!(daemon = %daemon.id, address = %found.address, %transport, why = %found.why, "tunnel up");
            let returns = transport == Transport::WebSocket && self.routes.choice == Choice::Auto;
            if !returns {
                self.connected(daemon, (&found, since), None);
            }
            let retire = CancellationToken::new();
            let serving = self.service.run(identity, found.tunnel.clone(), control, stop, &retire);
            tokio::pin!(serving);
            let better = tokio::select! {
                parting = &mut serving => return outcome(parting),
                better = self.better(daemon, (&found, since), name, identity), if returns => better,
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
        daemon: &DaemonEntry,
        found: (&Found, Timestamp),
        name: &'a str,
        identity: PublicIdentity,
    ) -> Reached<'a> {
        let mut probes = Probes::default();
        loop {
            let wait = probes.next(rand::rng().random());
            self.connected(daemon, found, Some(clock::now().after(wait)));
            time::sleep(wait).await;
            let probed = async {
                let found = self.routes.probe(name, identity).await?;
                self.welcomed(found, name, identity).await
            };
            match probed.await {
                Ok(reached) => return reached,
                Err(fault) => debug!(daemon = %daemon.id, %fault, "QUIC still does not get through"),
            }
        }
    }

    async fn rest(&self, daemon: &DaemonEntry, reason: String, wait: Duration, stop: &CancellationToken) {
        if stop.is_cancelled() {
            return;
        }
        warn!(daemon = %daemon.id, %reason, retry_ms = wait.as_millis() as u64, "no tunnel");
        self.report(daemon, TunnelStatus::Disconnected { reason, since: clock::now() });
        tokio::select! {
            () = stop.cancelled() => {}
            () = time::sleep(wait) => {}
        }
    }

    /// The first of the daemon's names under which it welcomes us.
    async fn reach<'a>(&self, daemon: &'a DaemonEntry, worked: &HashMap<&str, Transport>) -> Result<Reached<'a>, DialFault> {
        let identity = PublicIdentity::from_line(&daemon.identity).map_err(|_| DialFault::Identity)?;
        let mut last = DialFault::Nowhere;
        for name in &daemon.addresses {
            let called = async {
                let found = self.routes.call(name, identity, worked.get(name.as_str()).copied()).await?;
                self.welcomed(found, name, identity).await
            };
            match called.await {
                Ok(reached) => return Ok(reached),
                Err(fault) => {
                    debug!(daemon = %daemon.id, name, %fault, "not here");
                    last = fault;
                }
            }
        }
        Err(last)
    }

    async fn welcomed<'a>(&self, found: Found, name: &'a str, identity: PublicIdentity) -> Result<Reached<'a>, DialFault> {
        let greeted = time::timeout(HANDSHAKE_TIMEOUT, self.greet(&found.tunnel, identity)).await;
        match greeted.unwrap_or(Err(DialFault::Slow)) {
            Ok(control) => Ok(Reached { found, control, name, identity }),
            Err(fault) => {
                found.tunnel.close("the handshake ended");
                Err(fault)
            }
        }
    }

    fn connected(&self, daemon: &DaemonEntry, (found, since): (&Found, Timestamp), quic_again: Option<Timestamp>) {
        let Found { tunnel, address, proxy, why } = found;
        let (transport, address, proxy, why) = (tunnel.transport().to_string(), address.clone(), proxy.clone(), why.clone());
        self.report(daemon, TunnelStatus::Connected { transport, address, proxy, since, why, quic_again });
    }

    fn report(&self, daemon: &DaemonEntry, tunnel: TunnelStatus) {
        self.board.post(|status| drop(status.tunnels.insert(daemon.id.clone(), tunnel)));
    }
}

fn outcome(parting: Parting) -> (String, Duration) {
    match parting {
        Parting::Dismissed { reason, words } => (format!("the daemon said goodbye: {words}"), pause(reason)),
        Parting::Broke(fault) => (fault, Duration::ZERO),
    }
}

/// What a reason asks us to wait, beside the back-off.
const fn pause(reason: Reason) -> Duration {
    match reason {
        Reason::Superseded => SUPERSEDED_PAUSE,
        _ => Duration::ZERO,
    }
}

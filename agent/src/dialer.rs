//! Keeps a tunnel to one daemon: dials its addresses in turn, proves itself, serves, and tries again.

use crate::{
    limits::{DIAL_RETRY, DIAL_TIMEOUT, HANDSHAKE_TIMEOUT, SUPERSEDED_PAUSE},
    serve::{Parting, Service},
    status::{Board, TunnelStatus},
};
use drawbridge_shared::{
    backoff::Backoff,
    id::WorkspaceId,
    native::{
        clock,
        control::{self, ControlFault},
        identity::{Identity, PublicIdentity},
        quic::{self, QuicFault},
        tunnel::{Stream, Tunnel},
    },
    signed::CannotSign,
    snapshot::directory::DaemonEntry,
    tunnel::{
        VERSION,
        frame::{Frame, Reason},
        instance::Instance,
        proof::Binding,
    },
};
use rand::RngExt;
use std::{io, net::SocketAddr, time::Duration};
use tokio::{net, time};
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
}

/// Why a tunnel did not come about.
#[derive(Debug, thiserror::Error)]
enum DialFault {
    #[error("the directory names no usable identity for this daemon")]
    Identity,
    #[error("{0} cannot be resolved: {1}")]
    Name(String, io::Error),
    #[error(transparent)]
    Quic(#[from] QuicFault),
    #[error("no answer within {} s", DIAL_TIMEOUT.as_secs())]
    Silent,
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

impl Dialer {
    /// Keeps a tunnel to `daemon` until `stop`.
    pub(crate) async fn run(self, daemon: DaemonEntry, stop: CancellationToken) {
        let mut backoff = Backoff::new(DIAL_RETRY.0, DIAL_RETRY.1);
        while !stop.is_cancelled() {
            let begun = time::Instant::now();
            let reached = tokio::select! {
                () = stop.cancelled() => break,
                reached = self.reach(&daemon) => reached,
            };
            let (reason, least) = match reached {
                Ok(reached) => self.serve(&daemon, reached, &stop).await,
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

    /// One tunnel to its end. Returns why it ended and what to wait at least.
    async fn serve(
        &self,
        daemon: &DaemonEntry,
        reached: (Tunnel, Stream, SocketAddr, PublicIdentity),
        stop: &CancellationToken,
    ) -> (String, Duration) {
        let (tunnel, control, address, identity) = reached;
        let connected = TunnelStatus::Connected { transport: "quic".into(), address: address.to_string(), since: clock::now() };
        self.report(daemon, connected);
        info!(daemon = %daemon.id, %address, "tunnel up");
        match self.service.run(identity, tunnel, control, stop).await {
            Parting::Dismissed { reason, words } => (format!("the daemon said goodbye: {words}"), pause(reason)),
            Parting::Broke(fault) => (fault, Duration::ZERO),
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

    /// The first of the daemon's addresses that welcomes us.
    async fn reach(&self, daemon: &DaemonEntry) -> Result<(Tunnel, Stream, SocketAddr, PublicIdentity), DialFault> {
        let identity = PublicIdentity::from_line(&daemon.identity).map_err(|_| DialFault::Identity)?;
        let mut last = DialFault::Nowhere;
        for name in &daemon.addresses {
            let addresses = net::lookup_host(name).await.map_err(|fault| DialFault::Name(name.clone(), fault));
            let addresses = match addresses {
                Ok(addresses) => addresses,
                Err(fault) => {
                    last = fault;
                    continue;
                }
            };
            for address in addresses {
                match self.call(address, identity).await {
                    Ok((tunnel, control)) => return Ok((tunnel, control, address, identity)),
                    Err(fault) => {
                        debug!(daemon = %daemon.id, %address, %fault, "not here");
                        last = fault;
                    }
                }
            }
        }
        Err(last)
    }

    async fn call(&self, address: SocketAddr, identity: PublicIdentity) -> Result<(Tunnel, Stream), DialFault> {
        let tunnel = time::timeout(DIAL_TIMEOUT, quic::dial(address, identity)).await.map_err(|_| DialFault::Silent)??;
        let greeted = time::timeout(HANDSHAKE_TIMEOUT, self.greet(&tunnel, identity)).await;
        match greeted.map_err(|_| DialFault::Slow).and_then(|greeted| greeted) {
            Ok(control) => Ok((tunnel, control)),
            Err(fault) => {
                tunnel.close("the handshake ended");
                Err(fault)
            }
        }
    }

    /// Hello, Proof, and what the daemon makes of it.
    async fn greet(&self, tunnel: &Tunnel, daemon: PublicIdentity) -> Result<Stream, DialFault> {
        let mut control = tunnel.open().await.map_err(QuicFault::from)?;
        let (reader, writer) = &mut control;
        let agent = concat!("drawbridge-agent ", env!("CARGO_PKG_VERSION")).into();
        let hello =
            Frame::Hello { version: VERSION, workspace: self.workspace.clone(), instance: self.instance, accepts: true, agent };
        control::write(writer, &hello).await.map_err(ControlFault::from)?;
        let nonce = match control::read(reader).await? {
            Frame::Challenge { nonce } => nonce,
            other => return Err(refusal(other)),
        };
        let exporter = tunnel.exporter().map_err(ControlFault::from)?;
        let binding = Binding { nonce: &nonce, daemon: &daemon.0, workspace: &self.workspace, exporter: &exporter };
        let proof = Frame::Proof { signature: binding.sign(&self.key.ssh())? };
        control::write(writer, &proof).await.map_err(ControlFault::from)?;
        match control::read(reader).await? {
            Frame::Welcome { .. } => Ok(control),
            other => Err(refusal(other)),
        }
    }

    fn report(&self, daemon: &DaemonEntry, tunnel: TunnelStatus) {
        self.board.post(|status| drop(status.tunnels.insert(daemon.id.clone(), tunnel)));
    }
}

fn refusal(frame: Frame) -> DialFault {
    match frame {
        Frame::Refuse { reason, words, retry_after } => DialFault::Refused { reason, words, retry_after },
        _ => ControlFault::OutOfTurn.into(),
    }
}

/// What a reason asks us to wait, beside the back-off.
const fn pause(reason: Reason) -> Duration {
    match reason {
        Reason::Superseded => SUPERSEDED_PAUSE,
        _ => Duration::ZERO,
    }
}

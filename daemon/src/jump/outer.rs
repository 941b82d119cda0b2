//! One outer connection from its first byte to its last.

use super::{
    Hall,
    visitor::{Standing, Visitor},
};
use crate::{
    admission::Place,
    denial::Denial,
    limits::{EXCHANGE_DEADLINE, LINGER, LOGIN_DEADLINE, PARTING, READ_BUFFER, UNACKNOWLEDGED},
    metrics::Counted,
    witness::{Early, Ending, Who},
};
use drawbridge_shared::{
    fingerprint::Fingerprint,
    native::{
        backlog::brake::Braked,
        gather::Gather,
        long_way, proxy_header,
        severable::Severable,
        ssh::{exchange::Exchanging, steer::Offer},
    },
};
use rand::RngExt;
use russh::{
    Disconnect,
    server::{self, RunningSession},
};
use rustix::net::sockopt;
use std::{
    io::ErrorKind::{BrokenPipe, ConnectionReset},
    net::SocketAddr,
    sync::Arc,
    time::Instant,
};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, watch},
    time,
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// Somebody who was let in to knock.
pub(super) struct Caller {
    /// Where they come from, as far as that is known.
    pub(super) peer: SocketAddr,
    /// A balancer speaks for them, and says so first.
    pub(super) by_balancer: bool,
    /// Theirs until a key is proven.
    pub(super) place: Place,
}

/// A login.
struct Entered {
    session: RunningSession<Visitor>,
    key: Fingerprint,
}

impl Caller {
    /// For whom a balancer speaks, who may be turned away then. Its own probes are nobody's.
    async fn is_told(&mut self, socket: &mut TcpStream) -> Result<(), Early> {
        if !self.by_balancer {
            return Ok(());
        }
        let told = proxy_header::read(socket).await.map_err(|fault| {
            debug!(balancer = %self.peer, %fault, "not for whom it speaks");
            Early::Header
        })?;
        let Some(peer) = told else { return Ok(()) };
        self.peer = peer;
        self.place.belongs_to(peer.ip(), Instant::now())
    }
}

/// Serves it to its end, and keeps its `_place` among the connections until then.
pub(super) async fn run(hall: Arc<Hall>, offer: Offer, socket: TcpStream, mut caller: Caller, _place: OwnedSemaphorePermit) {
    let cut = CancellationToken::new();
    // Whatever ends this function ends the connection and its bridges.
    let _cut = cut.clone().drop_guard();
    let waits = Counted::on(&hall.witness.metrics.waiting);
    let trace = format!("{:016x}", rand::rng().random::<u64>());
    // Boxed: what a login takes is not to stay as long as the session does.
    let login = Box::pin(enter(&hall, offer, socket, (&mut caller, trace.clone()), cut));
    let entered = tokio::select! {
        () = hall.end.cancelled() => return,
        entered = login => entered,
    };
    drop(waits);
    let Caller { peer, place, .. } = caller;
    match entered {
        Ok(Entered { session, key }) => {
            drop(place);
            let seen = hall.witness.logged_in(Who { trace: &trace, peer, key: Some(key) });
            let ending = match hall.seat(&key) {
                Some(_seated) => live(session, &hall, key).await,
                None => {
                    dismiss(session, Disconnect::TooManyConnections, Denial::Connections.to_string()).await;
                    Ending::Denied(Denial::Connections)
                }
            };
            seen.ended(&ending);
        }
        Err(early) => {
            let early = early.in_truth(hall.gate(|gate| gate.serves()));
            place.penalise(early.penalty(), Instant::now());
            hall.witness.dropped(Who { trace: &trace, peer, key: None }, early);
        }
    }
}

/// From the first byte to a proven key.
async fn enter(
    hall: &Arc<Hall>,
    offer: Offer,
    mut socket: TcpStream,
    (caller, trace): (&mut Caller, String),
    cut: CancellationToken,
) -> Result<Entered, Early> {
    let begun = time::Instant::now();
    socket.set_nodelay(true).map_err(|_| Early::Gone)?;
    // Where the kernel refuses, its own patience is left.
    let _ = sockopt::set_tcp_user_timeout(&socket, u32::try_from(UNACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX));
    long_way::suit(&socket);
    let told = time::timeout(EXCHANGE_DEADLINE, caller.is_told(&mut socket));
    if let Err(early) = told.await.unwrap_or(Err(Early::Slow)) {
        turn_away(&socket, early);
        return Err(early);
    }
    let (visitor, standing) = Visitor::new(hall.clone(), (caller.peer, trace), cut.child_token());
    let stream = Braked::new(Severable::new(socket, cut).parting_within(LINGER), visitor.brake());
    let stream = Gather::up_to(READ_BUFFER, stream);
    let exchanged = CancellationToken::new();
    let start = async {
        let (config, stream) = offer.greet(stream).await?;
        server::run_stream(config, Exchanging::new(stream, exchanged.clone()), visitor).await
    };
    match time::timeout_at(begun + EXCHANGE_DEADLINE, start).await {
        Ok(Ok(session)) => proven(session, standing, too_late(begun, &exchanged)).await,
        Ok(Err(fault)) => Err(early(Some(&fault), Standing::New)),
        Err(_) => Err(Early::Slow),
    }
}

/// Comes when a login has had its time, and says whether it had come so far that it can be told.
async fn too_late(begun: time::Instant, exchanged: &CancellationToken) -> bool {
    time::sleep_until(begun + EXCHANGE_DEADLINE).await;
    if exchanged.is_cancelled() {
        time::sleep_until(begun + LOGIN_DEADLINE).await;
    }
    exchanged.is_cancelled()
}

/// The session, once its key is proven.
async fn proven(
    mut session: RunningSession<Visitor>,
    mut standing: watch::Receiver<Standing>,
    too_late: impl Future<Output = bool>,
) -> Result<Entered, Early> {
    let told = standing.clone();
    let last = async { standing.wait_for(Standing::is_last).await.map(|last| *last) };
    tokio::select! {
        biased;
        Ok(last) = last => match last {
            Standing::Proven(key) => Ok(Entered { session, key }),
            _ => Err(send_away(session, Early::Signatures).await),
        },
        ended = &mut session => Err(early(ended.as_ref().err(), *told.borrow())),
        hears = too_late => Err(if hears { send_away(session, Early::Slow).await } else { Early::Slow }),
    }
}

/// Why a connection ended that never was a session.
fn early(fault: Option<&russh::Error>, standing: Standing) -> Early {
    match fault {
        _ if standing != Standing::New => Early::Unknown,
        // An old client, or one that only looks, breaks no rule.
        None | Some(russh::Error::Disconnect | russh::Error::HUP | russh::Error::IO(_) | russh::Error::NoCommonAlgo { .. }) => {
            Early::Gone
        }
        Some(fault) => {
            debug!(%fault, "no SSH client");
            Early::Violation
        }
    }
}

/// Until the client ends it, the daemon stops, or its key is revoked.
async fn live(mut session: RunningSession<Visitor>, hall: &Hall, key: Fingerprint) -> Ending {
    let revoked = hall.until_revoked(|gate| gate.stays(&key));
    let denial = tokio::select! {
        ended = &mut session => return over(&ended),
        () = hall.end.cancelled() => Denial::Stopping,
        revocation = revoked => {
            // Agents that know it too are telling the user why, through here.
            if time::timeout(PARTING, &mut session).await.is_ok() {
                return Ending::Denied(Denial::Revoked(revocation));
            }
            Denial::Revoked(revocation)
        }
    };
    dismiss(session, Disconnect::ByApplication, denial.to_string()).await;
    Ending::Denied(denial)
}

/// A client that says goodbye, or only closes, is done. A close looks like a reset where it left something unread, as `ssh -J` does
/// with the last words of a channel.
fn over(ended: &Result<(), russh::Error>) -> Ending {
    match ended {
        Ok(()) | Err(russh::Error::Disconnect | russh::Error::HUP) => Ending::Finished,
        Err(russh::Error::IO(fault)) if matches!(fault.kind(), ConnectionReset | BrokenPipe) => Ending::Finished,
        Err(fault) => {
            debug!(%fault, "a session broke");
            Ending::Broken
        }
    }
}

async fn send_away(session: RunningSession<Visitor>, early: Early) -> Early {
    let code = if early == Early::Slow { Disconnect::ByApplication } else { Disconnect::NoMoreAuthMethodsAvailable };
    dismiss(session, code, early.to_string()).await;
    early
}

/// Says why, and leaves the client a moment to hear it.
async fn dismiss(session: RunningSession<Visitor>, code: Disconnect, words: String) {
    let handle = session.handle();
    let parted = time::timeout(LINGER, async {
        handle.disconnect(code, words, String::new()).await?;
        session.await
    });
    if let Ok(Err(fault)) = parted.await {
        debug!(%fault, "a session ended badly");
    }
}

/// What a newcomer that is turned away unheard may read, as sshd says it (RFC 4253 section 4.2: a line before the
/// identification). A socket that takes no line at once gets none.
pub(super) fn turn_away(socket: &TcpStream, early: Early) {
    let _ = socket.try_write(format!("{early}\r\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Error, ErrorKind};

    #[tokio::test(start_paused = true)]
    async fn a_person_has_the_time_that_sshd_gives_and_a_machine_less() {
        let begun = time::Instant::now();
        let exchanged = CancellationToken::new();
        assert!(!too_late(begun, &exchanged).await);
        assert_eq!(begun.elapsed().as_secs(), EXCHANGE_DEADLINE.as_secs());
        exchanged.cancel();
        assert!(too_late(begun, &exchanged).await);
        assert_eq!(begun.elapsed().as_secs(), LOGIN_DEADLINE.as_secs());
    }

    #[test]
    fn a_client_that_closes_is_done_and_one_that_is_lost_is_not() {
        let ended = |kind: ErrorKind| over(&Err(russh::Error::IO(Error::from(kind))));
        assert!(matches!(over(&Err(russh::Error::HUP)), Ending::Finished));
        assert!(matches!(ended(ConnectionReset), Ending::Finished) && matches!(ended(BrokenPipe), Ending::Finished));
        assert!(matches!(ended(ErrorKind::TimedOut), Ending::Broken));
        assert!(matches!(over(&Err(russh::Error::KeepaliveTimeout)), Ending::Broken));
    }
}

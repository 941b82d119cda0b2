//! Carries one strand over the legs that its daemon gives it, and waits between them for a bounded time.

use super::strands::{Offer, Seat};
use crate::limits::{MAX_PATIENCE, OPEN_TIMEOUT};
use drawbridge_shared::{
    native::{
        resume::{Driver, Leg, LegWriter, Outcome, Violation},
        tunnel::{TunnelReader, TunnelWriter},
    },
    tunnel::resume::frame::Answer,
};
use std::time::Duration;
use tokio::time;
use tokio_util::{sync::CancellationToken, task::task_tracker::TaskTrackerToken};
use tracing::{debug, info, warn};

/// A leg, which keeps its tunnel.
#[derive(Debug)]
pub(super) struct Held<R = TunnelReader, W = TunnelWriter> {
    pub(super) leg: Leg<R, W>,
    pub(super) tunnel: TaskTrackerToken,
}

/// How a turn on a leg ended.
enum Turn<H = Held> {
    Done,
    Broke,
    Replaced(Offer<H>),
}

/// Until the strand is over, its daemon does not come back within `patience`, or `end` fires while it has no leg.
pub(super) async fn carry(
    driver: Driver,
    first: Held,
    seat: &Seat<Held>,
    patience: Duration,
    end: &CancellationToken,
    trace: &str,
) {
    let mut turn = ride(&driver, first, seat, trace).await;
    loop {
        turn = match turn {
            Turn::Done => return,
            Turn::Broke => match wait(seat, patience.min(MAX_PATIENCE), end).await {
                Ok(offer) => Turn::Replaced(offer),
                Err(words) => {
                    info!(%trace, words, "a connection is given up: its tunnel broke");
                    return driver.fail(&format!("its tunnel broke, and {words}"));
                }
            },
            Turn::Replaced(offer) => match greet(&driver, offer, seat, trace).await {
                Ok(held) => ride(&driver, held, seat, trace).await,
                Err(turn) => turn,
            },
        }
    }
}

/// Nothing of a leg outlives this: what it brought is final before the next one begins.
async fn ride(driver: &Driver, mut held: Held, seat: &Seat<Held>, trace: &str) -> Turn {
    let outcome = tokio::select! {
        outcome = driver.ride(&mut held.leg) => outcome,
        offer = seat.next() => return Turn::Replaced(offer),
    };
    drop(held.tunnel);
    match outcome {
        Outcome::Over => Turn::Done,
        Outcome::Broke(fault) => {
            debug!(%trace, %fault, "a connection lost its tunnel");
            Turn::Broke
        }
        Outcome::Violated(violation) => violated(driver, violation, trace),
    }
}

/// Tells the daemon from where it is to send. One that does not hear it asks over another leg, or is not there any more.
async fn greet<R, W: LegWriter>(
    driver: &Driver,
    Offer { mut leg, received }: Offer<Held<R, W>>,
    seat: &Seat<Held<R, W>>,
    trace: &str,
) -> Result<Held<R, W>, Turn<Held<R, W>>> {
    driver.attach(received).map_err(|violation| violated(driver, violation, trace))?;
    let answer = Answer::Resumed { received: driver.received() };
    tokio::select! {
        sent = leg.leg.writer().send(answer.encode().into()) => sent.map(|()| leg).map_err(|_| Turn::Broke),
        newer = seat.next() => Err(Turn::Replaced(newer)),
        () = time::sleep(OPEN_TIMEOUT) => Err(Turn::Broke),
    }
}

fn violated<H>(driver: &Driver, violation: Violation, trace: &str) -> Turn<H> {
    warn!(%trace, %violation, "a daemon broke the tunnel protocol");
    driver.fail("the daemon broke the tunnel protocol");
    Turn::Done
}

async fn wait(seat: &Seat<Held>, patience: Duration, end: &CancellationToken) -> Result<Offer<Held>, &'static str> {
    seat.wait();
    tokio::select! {
        offer = seat.next() => Ok(offer),
        () = time::sleep(patience) => Err("its daemon did not come back in time"),
        words = seat.given_up() => Err(words),
        () = end.cancelled() => Err("the agent stops"),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::strands::Strands, *};
    use crate::serve::Host;
    use bytes::Bytes;
    use drawbridge_shared::{
        native::{
            identity::PublicIdentity,
            resume::{self, Budget},
        },
        tunnel::{
            instance::Instance,
            resume::{
                frame::Resume,
                ticket::{ID, SECRET, Secret, StrandId, Ticket},
            },
        },
    };
    use std::{future::pending, io};
    use tokio::io::{Empty, empty};
    use tokio_util::task::TaskTracker;

    /// The daemon's end of a leg, which reads or does not.
    struct Daemon {
        reads: bool,
    }

    impl LegWriter for Daemon {
        async fn send(&mut self, _: Bytes) -> io::Result<()> {
            if self.reads { Ok(()) } else { pending().await }
        }

        async fn send_all(&mut self, wire: &mut Vec<Bytes>) -> io::Result<()> {
            wire.clear();
            Ok(())
        }

        fn finish(&mut self) {}
    }

    #[tokio::test(start_paused = true)]
    async fn a_leg_that_is_not_read_holds_up_no_other() {
        let host = Host { identity: PublicIdentity([1; 32]), process: Instance([1; 16]) };
        let ticket = Ticket { id: StrandId([1; ID]), secret: Secret::new([1; SECRET]) };
        let (strands, legs) = (Strands::<Held<Empty, Daemon>>::default(), TaskTracker::new());
        let seat = strands.enter(host, ticket.clone()).unwrap();
        let offer = |leg, reads| {
            let held = Held { leg: Leg::new(empty(), Daemon { reads }), tunnel: legs.token() };
            assert!(strands.resume(host.identity, &Resume::new(&ticket, leg, 0), held).is_ok());
        };
        let (_reader, _writer, driver) = resume::strand(&Budget::new(1 << 20));
        offer(1, false);
        let first = seat.next().await;
        let begun = time::Instant::now();
        assert!(matches!(greet(&driver, first, &seat, "t").await, Err(Turn::Broke)));
        assert_eq!(begun.elapsed(), OPEN_TIMEOUT, "it was waited for longer");
        offer(2, false);
        let second = seat.next().await;
        offer(3, true);
        let Err(Turn::Replaced(third)) = greet(&driver, second, &seat, "t").await else { panic!("the newer one is not taken") };
        assert!(greet(&driver, third, &seat, "t").await.is_ok());
    }
}

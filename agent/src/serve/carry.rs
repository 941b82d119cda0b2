//! Carries one strand over the legs that its daemon gives it, and waits between them for a bounded time.

use super::strands::{Offer, Seat};
use crate::limits::MAX_PATIENCE;
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
pub(super) struct Held {
    pub(super) leg: Leg<TunnelReader, TunnelWriter>,
    pub(super) tunnel: TaskTrackerToken,
}

/// How a turn on a leg ended.
enum Turn {
    Done,
    Broke,
    Replaced(Offer<Held>),
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
            Turn::Replaced(offer) => match greet(&driver, offer, trace).await {
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

/// Tells the daemon from where it is to send.
async fn greet(driver: &Driver, Offer { mut leg, received }: Offer<Held>, trace: &str) -> Result<Held, Turn> {
    driver.attach(received).map_err(|violation| violated(driver, violation, trace))?;
    let answer = Answer::Resumed { received: driver.received() };
    LegWriter::send(leg.leg.writer(), answer.encode().into()).await.map(|()| leg).map_err(|_| Turn::Broke)
}

fn violated(driver: &Driver, violation: Violation, trace: &str) -> Turn {
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

//! The daemon's sockets of one tunnel that no stream uses yet: asked for as they are needed, and one ahead.

use super::{
    MAX_DIALS, MAX_SHELF, SPARES, TICKET_LIFE, Wire,
    shelf::Shelf,
    tickets::{Issued, Tickets},
};
use crate::tunnel::ticket::Ticket;
use futures_util::{FutureExt, StreamExt};
use rand::RngExt;
use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{AtomicUsize, Ordering},
};
use tokio::time::{Instant, timeout};

/// Which pool each ticket's socket goes to.
pub(super) type Holders = Tickets<Weak<Pool>>;

/// One tunnel's.
#[derive(Debug)]
pub(super) struct Pool {
    holders: Holders,
    /// Sockets that have come.
    ready: Shelf<Wire>,
    /// Tickets that the agent has not been told yet.
    unsaid: Shelf<Ticket>,
    /// Tickets that are out.
    out: Mutex<Vec<Issued<Weak<Pool>>>>,
    waiting: AtomicUsize,
}

impl Pool {
    /// Its tickets are redeemed from `holders`.
    pub(super) fn new(holders: Holders) -> Self {
        let (ready, unsaid) = (Shelf::new(MAX_SHELF), Shelf::new(MAX_DIALS));
        Self { holders, ready, unsaid, out: Mutex::default(), waiting: AtomicUsize::new(0) }
    }

    /// The next socket: one that is ready, or one that the agent dials now. Asks again where none comes.
    pub(super) async fn take(self: &Arc<Self>) -> Option<Wire> {
        let waiting = Waiting::new(&self.waiting);
        loop {
            self.want();
            let come = timeout(TICKET_LIFE, self.ready.take()).await;
            if let Some(wire) = come.ok().flatten().and_then(alive) {
                drop(waiting);
                self.want();
                return Some(wire);
            }
        }
    }

    /// The next ticket to tell the agent.
    pub(super) async fn asked(&self) -> Ticket {
        loop {
            if let Some(ticket) = self.unsaid.take().await {
                return ticket;
            }
        }
    }

    /// A socket came, on one of this pool's tickets.
    pub(super) fn arrived(&self, wire: Wire) {
        // Those who waited may have given up: what nobody needs is closed again.
        if self.ready.len() < self.wanted() {
            drop(self.ready.put(wire));
        }
    }

    /// Has as many sockets on their way as are waited for, and the spare.
    fn want(self: &Arc<Self>) {
        let now = Instant::now();
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.retain(|issued| issued.open(now));
        for _ in (out.len() + self.ready.len())..self.wanted().min(MAX_DIALS) {
            let ticket = Ticket(rand::rng().random());
            let issued = self.holders.issue(&ticket, Arc::downgrade(self), now + TICKET_LIFE);
            if self.unsaid.put(ticket).is_err() {
                break;
            }
            out.push(issued);
        }
    }

    fn wanted(&self) -> usize {
        self.waiting.load(Ordering::Relaxed) + SPARES
    }
}

/// A socket says nothing until it is used, unless it is over.
fn alive(mut wire: Wire) -> Option<Wire> {
    wire.next().now_or_never().is_none().then_some(wire)
}

/// One who waits for a socket.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

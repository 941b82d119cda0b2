//! Which tickets are out: each opens one socket, once, within its time. Kept by digest, so that no look-up compares a secret.

use crate::tunnel::ticket::Ticket;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::time::Instant;

/// SHA-256 of a ticket.
type Hash = [u8; 32];

/// All tickets of one door; `T` is whom a ticket's socket goes to. Cheap to clone.
#[derive(Debug)]
pub(super) struct Tickets<T>(Arc<Mutex<HashMap<Hash, Entry<T>>>>);

#[derive(Debug)]
struct Entry<T> {
    holder: T,
    until: Instant,
}

/// A ticket that is out. Dropping it takes it back.
#[derive(Debug)]
pub(super) struct Issued<T> {
    tickets: Tickets<T>,
    hash: Hash,
    /// Not good any more from then on.
    pub(super) until: Instant,
}

impl<T> Default for Tickets<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Tickets<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Tickets<T> {
    /// Lets `ticket` open one socket for `holder`.
    pub(super) fn issue(&self, ticket: &Ticket, holder: T, until: Instant) -> Issued<T> {
        let hash = hash(ticket);
        self.lock().insert(hash, Entry { holder, until });
        Issued { tickets: self.clone(), hash, until }
    }

    /// Whom the socket that shows `ticket` goes to. The ticket is used up.
    pub(super) fn redeem(&self, ticket: &Ticket, now: Instant) -> Option<T> {
        let entry = self.lock().remove(&hash(ticket))?;
        (now < entry.until).then_some(entry.holder)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Hash, Entry<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Issued<T> {
    /// Whether it was neither used nor has run out.
    pub(super) fn open(&self, now: Instant) -> bool {
        now < self.until && self.tickets.lock().contains_key(&self.hash)
    }
}

impl<T> Drop for Issued<T> {
    fn drop(&mut self) {
        self.tickets.lock().remove(&self.hash);
    }
}

fn hash(ticket: &Ticket) -> Hash {
    Sha256::digest(ticket.0).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_ticket_is_good_once_for_its_holder_within_its_time() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        let until = now + Duration::from_secs(4);
        let (one, two, three) = (Ticket([1; 32]), Ticket([2; 32]), Ticket([3; 32]));
        let (first, _second) = (tickets.issue(&one, "one", until), tickets.issue(&two, "two", until));
        let taken_back = tickets.issue(&three, "three", until);
        assert!(first.open(now) && !first.open(until));
        assert_eq!(tickets.redeem(&one, now), Some("one"));
        assert_eq!((tickets.redeem(&one, now), first.open(now)), (None, false));
        assert_eq!(tickets.redeem(&two, until), None);
        assert_eq!(tickets.redeem(&Ticket([9; 32]), now), None);
        drop(taken_back);
        assert_eq!(tickets.redeem(&three, now), None);
        assert!(tickets.lock().is_empty());
    }
}

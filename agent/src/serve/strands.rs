//! The strands of this process: which daemon may go on with which, and which of them wait for that.

use crate::limits::MAX_STRANDS;
use drawbridge_shared::{
    native::identity::PublicIdentity,
    tunnel::{
        instance::Instance,
        resume::{
            frame::Resume,
            ticket::{StrandId, Ticket},
        },
    },
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Notify, SetOnce};

/// Why a strand waits no more whose daemon's process has ended.
const ORPHANED: &str = "its daemon has ended";

/// The daemon at the other end of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// Who it is.
    pub(crate) identity: PublicIdentity,
    /// Which of its processes.
    pub(crate) process: Instance,
}

/// A strand belongs to the daemon that opened it.
type Key = (PublicIdentity, StrandId);

/// Strands by daemon and name; cheap to clone. `L` is what goes on: a leg.
#[derive(Debug)]
pub(super) struct Strands<L>(Arc<Mutex<Table<L>>>);

#[derive(Debug)]
struct Table<L> {
    entries: HashMap<Key, Entry<L>>,
    /// Counts waits: the lowest waits longest.
    waits: u64,
}

#[derive(Debug)]
struct Entry<L> {
    ticket: Ticket,
    /// The process that opened it.
    process: Instance,
    /// That process has ended.
    orphaned: bool,
    /// The highest leg so far: a Resume must be higher.
    leg: u64,
    waiting: Option<u64>,
    mailbox: Arc<Mailbox<L>>,
}

#[derive(Debug)]
struct Mailbox<L> {
    newest: Mutex<Option<Offer<L>>>,
    came: Notify,
    /// Why no other leg is waited for.
    given_up: SetOnce<&'static str>,
}

/// The next leg of a strand.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Offer<L> {
    /// It.
    pub(super) leg: L,
    /// The position from which the daemon needs our bytes.
    pub(super) received: u64,
}

/// A strand's place in the table. Dropping it leaves.
#[derive(Debug)]
pub(super) struct Seat<L> {
    strands: Strands<L>,
    key: Key,
    mailbox: Arc<Mailbox<L>>,
}

impl<L> Strands<L> {
    /// A place for a new strand that `host` opened; none for one that is here already, or one too many, of all or of that daemon's. One
    /// that waits for its daemon makes room for it, and leaves in a moment.
    pub(super) fn enter(&self, host: Host, ticket: Ticket) -> Option<Seat<L>> {
        let key = (host.identity, ticket.id);
        let mut table = self.lock();
        if table.entries.contains_key(&key) || !table.has_room(host.identity) {
            return None;
        }
        let mailbox = Arc::new(Mailbox::default());
        let entry = Entry { ticket, process: host.process, orphaned: false, leg: 0, waiting: None, mailbox: mailbox.clone() };
        table.entries.insert(key, entry);
        drop(table);
        Some(Seat { strands: self.clone(), key, mailbox })
    }

    /// Hands `leg` to the strand that `resume` names, in place of any other. Given back to whoever may not.
    pub(super) fn resume(&self, daemon: PublicIdentity, resume: &Resume, leg: L) -> Result<(), L> {
        let mut table = self.lock();
        let Some(entry) = table.entries.get_mut(&(daemon, resume.id)).filter(|entry| entry.admits(resume)) else {
            return Err(leg);
        };
        entry.leg = resume.leg;
        entry.waiting = None;
        // Before anybody else has the table: who finds the offer does not wait.
        let older = entry.mailbox.put(Offer { leg, received: resume.received });
        drop(table);
        drop(older);
        Ok(())
    }

    /// Ends the strand that has waited longest for its daemon, of all or `among` those of one; false where none waits.
    pub(super) fn evict(&self, among: Option<PublicIdentity>) -> bool {
        self.lock().evict(among)
    }

    /// `host` is the only process of its daemon: nobody comes back for what others opened.
    pub(super) fn orphan(&self, host: Host) {
        let mut table = self.lock();
        let daemons = table.entries.iter_mut().filter(|((daemon, _), _)| *daemon == host.identity).map(|(_, entry)| entry);
        for entry in daemons.filter(|entry| entry.process != host.process) {
            entry.orphaned = true;
            if entry.waiting.is_some() {
                entry.give_up(ORPHANED);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table<L>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<L> Table<L> {
    /// Whether one more of `daemon` has a place now. Where that has its half, it makes room itself: no other's ends for it.
    fn has_room(&mut self, daemon: PublicIdentity) -> bool {
        if self.entries.keys().filter(|(of, _)| *of == daemon).count() >= MAX_STRANDS / 2 {
            return self.evict(Some(daemon));
        }
        self.entries.len() < MAX_STRANDS || self.evict(None)
    }

    fn evict(&mut self, among: Option<PublicIdentity>) -> bool {
        let named = self.entries.iter_mut().filter(|((daemon, _), _)| among.is_none_or(|among| among == *daemon));
        let waiting = named.map(|(_, entry)| entry).filter(|entry| entry.waiting.is_some());
        let Some(longest) = waiting.min_by_key(|entry| entry.waiting) else { return false };
        longest.give_up("others needed its place");
        true
    }
}

impl<L> Entry<L> {
    fn admits(&self, resume: &Resume) -> bool {
        let genuine = self.ticket.verifies(resume.leg, resume.received, &resume.proof) && resume.leg > self.leg;
        // What was given up ends, whoever comes before it has: its leg would only hide the sentence until it breaks.
        genuine && !self.mailbox.given_up.initialized()
    }

    fn give_up(&mut self, words: &'static str) {
        self.waiting = None;
        // The first reason stands.
        let _ = self.mailbox.given_up.set(words);
    }
}

impl<L> Default for Strands<L> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Table { entries: HashMap::new(), waits: 0 })))
    }
}

impl<L> Clone for Strands<L> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<L> Default for Mailbox<L> {
    fn default() -> Self {
        Self { newest: Mutex::new(None), came: Notify::new(), given_up: SetOnce::new() }
    }
}

impl<L> Mailbox<L> {
    /// A leg that nobody fetched is older than this one, and broken by being dropped.
    fn put(&self, offer: Offer<L>) -> Option<Offer<L>> {
        let older = self.newest().replace(offer);
        self.came.notify_one();
        older
    }

    fn take(&self) -> Option<Offer<L>> {
        self.newest().take()
    }

    fn newest(&self) -> MutexGuard<'_, Option<Offer<L>>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<L> Seat<L> {
    /// The strand's next leg, whenever it comes. A wait given up loses none.
    pub(super) async fn next(&self) -> Offer<L> {
        loop {
            if let Some(offer) = self.mailbox.take() {
                return offer;
            }
            self.mailbox.came.notified().await;
        }
    }

    /// The strand has no leg now, and waits with others; not where the next one came before it knew that the last one broke.
    pub(super) fn wait(&self) {
        let mut table = self.strands.lock();
        if self.mailbox.newest().is_some() {
            return;
        }
        table.waits += 1;
        let wait = table.waits;
        if let Some(entry) = table.entries.get_mut(&self.key) {
            entry.waiting = Some(wait);
            if entry.orphaned {
                entry.give_up(ORPHANED);
            }
        }
    }

    /// Its wait is over, and why.
    pub(super) async fn given_up(&self) -> &'static str {
        self.mailbox.given_up.wait().await
    }
}

impl<L> Drop for Seat<L> {
    fn drop(&mut self) {
        self.strands.lock().entries.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawbridge_shared::tunnel::resume::ticket::{ID, SECRET, Secret};

    const DAEMON: PublicIdentity = PublicIdentity([1; 32]);
    const HOST: Host = Host { identity: DAEMON, process: Instance([1; 16]) };

    fn ticket(n: u8) -> Ticket {
        Ticket { id: StrandId([n; ID]), secret: Secret::new([n; SECRET]) }
    }

    #[tokio::test]
    async fn the_newest_leg_replaces_the_one_before() {
        let strands = Strands::default();
        let seat = strands.enter(HOST, ticket(1)).unwrap();
        strands.resume(DAEMON, &Resume::new(&ticket(1), 1, 7), "first").unwrap();
        strands.resume(DAEMON, &Resume::new(&ticket(1), 3, 8), "second").unwrap();
        assert_eq!(seat.next().await, Offer { leg: "second", received: 8 });
        assert!(futures_util::FutureExt::now_or_never(seat.next()).is_none());
    }

    #[test]
    fn replayed_forged_and_strange_resumes_are_refused() {
        let strands = Strands::default();
        let seat = strands.enter(HOST, ticket(1)).unwrap();
        let good = Resume::new(&ticket(1), 2, 0);
        assert!(strands.resume(DAEMON, &good, ()).is_ok());
        assert!(strands.resume(DAEMON, &good, ()).is_err(), "a replay");
        assert!(strands.resume(DAEMON, &Resume::new(&ticket(1), 1, 0), ()).is_err(), "an older leg");
        let forged = Resume { leg: 9, ..good };
        assert!(strands.resume(DAEMON, &forged, ()).is_err(), "a proof of another leg");
        let guessed = Ticket { secret: Secret::new([9; SECRET]), ..ticket(1) };
        assert!(strands.resume(DAEMON, &Resume::new(&guessed, 9, 0), ()).is_err(), "another secret");
        let fresh = Resume::new(&ticket(1), 9, 0);
        assert!(strands.resume(PublicIdentity([2; 32]), &fresh, ()).is_err(), "another daemon's");
        assert!(strands.resume(DAEMON, &Resume::new(&ticket(2), 9, 0), ()).is_err(), "unknown");
        assert!(strands.enter(HOST, ticket(1)).is_none(), "a name twice");
        assert!(strands.resume(DAEMON, &fresh, ()).is_ok(), "refusals changed nothing");
        drop(seat);
        assert!(strands.resume(DAEMON, &Resume::new(&ticket(1), 10, 0), ()).is_err(), "over");
    }

    #[test]
    fn whoever_waits_longest_goes_first_and_nobody_else() {
        let strands = Strands::<()>::default();
        let [one, two, three] = [1, 2, 3].map(|n| strands.enter(HOST, ticket(n)).unwrap());
        let over = |seat: &Seat<()>| seat.mailbox.given_up.initialized();
        assert!(!strands.evict(None));
        two.wait();
        one.wait();
        assert!(strands.evict(None) && over(&two) && !over(&one));
        assert!(!strands.evict(Some(PublicIdentity([2; 32]))), "none of that daemon's waits");
        assert!(strands.evict(Some(DAEMON)) && over(&one));
        assert!(!strands.evict(None) && !over(&three));
        assert!(strands.resume(DAEMON, &Resume::new(&ticket(1), 1, 0), ()).is_err(), "it comes too late");
        assert!(strands.resume(DAEMON, &Resume::new(&ticket(3), 1, 0), ()).is_ok());
    }

    #[tokio::test]
    async fn whose_next_leg_was_quicker_than_the_end_of_the_last_does_not_wait() {
        let strands = Strands::<u8>::default();
        let seat = strands.enter(HOST, ticket(1)).unwrap();
        strands.resume(DAEMON, &Resume::new(&ticket(1), 1, 0), 7).unwrap();
        seat.wait();
        strands.orphan(Host { process: Instance([2; 16]), ..HOST });
        assert!(!strands.evict(None) && !seat.mailbox.given_up.initialized(), "it rides");
        assert_eq!(seat.next().await.leg, 7);
        seat.wait();
        assert_eq!(seat.given_up().await, ORPHANED);
    }

    #[test]
    fn a_daemon_leaves_half_of_the_table_to_others_and_whoever_waits_makes_room() {
        let strands = Strands::<()>::default();
        let nth = |n: usize| {
            let mut ticket = ticket(0);
            ticket.id.0[..8].copy_from_slice(&n.to_be_bytes());
            ticket
        };
        let [other, third] = [2, 3].map(|n| Host { identity: PublicIdentity([n; 32]), ..HOST });
        let half = |host| (0..MAX_STRANDS / 2).map(|n| strands.enter(host, nth(n)).unwrap()).collect::<Vec<_>>();
        let seats = half(HOST);
        let others = half(other);
        let given_up = |seat: &Seat<()>| seat.mailbox.given_up.initialized();
        others[7].wait();
        assert!(strands.enter(HOST, nth(MAX_STRANDS)).is_none() && !given_up(&others[7]), "it has its half");
        seats[7].wait();
        let _one_more = strands.enter(HOST, nth(MAX_STRANDS)).unwrap();
        assert!(given_up(&seats[7]) && !given_up(&others[7]));
        let _thirds = strands.enter(third, nth(0)).unwrap();
        assert!(given_up(&others[7]), "whoever has less than half has it from all");
        assert!(strands.enter(third, nth(1)).is_none(), "all are served");
    }

    #[tokio::test]
    async fn nobody_waits_for_a_process_that_has_ended() {
        let strands = Strands::<()>::default();
        let next = Host { process: Instance([2; 16]), ..HOST };
        let other = Host { identity: PublicIdentity([2; 32]), ..HOST };
        let [waits, rides] = [1, 2].map(|n| strands.enter(HOST, ticket(n)).unwrap());
        let (strange, later) = (strands.enter(other, ticket(3)).unwrap(), strands.enter(next, ticket(4)).unwrap());
        [&waits, &strange, &later].into_iter().for_each(Seat::wait);
        strands.orphan(next);
        assert_eq!(waits.given_up().await, ORPHANED);
        assert!(!rides.mailbox.given_up.initialized(), "its leg decides");
        rides.wait();
        assert_eq!(rides.given_up().await, ORPHANED);
        assert!(!strange.mailbox.given_up.initialized() && !later.mailbox.given_up.initialized());
    }
}

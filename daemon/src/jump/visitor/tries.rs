//! What a connection has tried before its login: how many signatures may still be verified, and who waits to know.
//!
//! russh 0.65 asks before it verifies a signature, by an offer, whether or not the client probed with one before; and
//! whatever it refuses takes the offer with it. So there are never more verifications than offers that were accepted.

use crate::limits::MAX_SIGNATURES;
use drawbridge_shared::fingerprint::Fingerprint;
use tokio::sync::watch;

/// Those of one connection.
pub(super) struct Tries {
    accepted: usize,
    standing: watch::Sender<Standing>,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::jump) enum Standing {
    /// It has tried nothing in vain.
    #[default]
    New,
    /// It has tried something in vain.
    Refused,
    /// It has tried too much.
    Exhausted,
    /// It holds this key.
    Proven(Fingerprint),
}

impl Tries {
    pub(super) fn new() -> (Self, watch::Receiver<Standing>) {
        let (standing, watch) = watch::channel(Standing::default());
        (Self { accepted: 0, standing }, watch)
    }

    /// Whether one more offer may lead to a signature.
    pub(super) fn accept(&mut self) -> bool {
        if self.accepted > 0 {
            self.refuse();
        }
        let room = self.accepted < MAX_SIGNATURES;
        if room {
            self.accepted += 1;
        } else {
            self.rise(Standing::Exhausted);
        }
        room
    }

    /// One was in vain.
    pub(super) fn refuse(&self) {
        self.rise(Standing::Refused);
    }

    /// One was not.
    pub(super) fn prove(&self, key: Fingerprint) {
        self.rise(Standing::Proven(key));
    }

    fn rise(&self, to: Standing) {
        self.standing.send_if_modified(|held| {
            let rises = to > *held;
            *held = to.max(*held);
            rises
        });
    }
}

impl Standing {
    /// Whether there is nothing more to wait for.
    pub(in crate::jump) const fn is_last(&self) -> bool {
        matches!(self, Self::Exhausted | Self::Proven(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_signatures_are_verified_and_no_more() {
        let (mut tries, standing) = Tries::new();
        assert!(tries.accept());
        assert_eq!(*standing.borrow(), Standing::New, "a first offer is nothing in vain");
        assert!((1..MAX_SIGNATURES).all(|_| tries.accept()));
        assert_eq!(*standing.borrow(), Standing::Refused);
        assert!(!tries.accept() && !tries.accept());
        assert!(standing.borrow().is_last());
    }

    #[test]
    fn refused_offers_are_no_signatures() {
        let (mut tries, standing) = Tries::new();
        (0..1000).for_each(|_| tries.refuse());
        assert!(tries.accept() && *standing.borrow() == Standing::Refused);
        let key = Fingerprint([1; 32]);
        tries.prove(key);
        tries.refuse();
        assert_eq!(*standing.borrow(), Standing::Proven(key), "nothing takes a proof back");
    }
}

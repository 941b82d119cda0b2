//! Who may knock: decided by address and number alone, before a byte of SSH is read.

mod penalties;
mod source;
mod startups;

pub(crate) use source::Source;
pub use startups::Startups;

use crate::witness::Early;
use drawbridge_shared::native::crowd::{Crowd, Seated};
use ipnet::IpNet;
use penalties::Penalties;
use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How many may wait for their login at a time, and for whom no count is kept.
#[derive(Clone, Debug)]
pub struct Policy {
    /// In all.
    pub startups: Startups,
    /// Of one source: an IPv4 address, or a /64 of IPv6.
    pub per_source: usize,
    /// Sources without a limit or penalty of their own.
    pub exempt: Vec<IpNet>,
    /// Balancers: who calls from there says for whom, in a header.
    pub balancers: Vec<IpNet>,
}

/// The porter; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Admission(Arc<Book>);

#[derive(Debug)]
struct Book {
    policy: Policy,
    /// Those of sources that are counted.
    by_source: Crowd<Source>,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    all: usize,
    penalties: Penalties,
}

/// One connection's place among those that have not proven a key yet. Dropping it leaves.
#[derive(Debug)]
pub(crate) struct Place {
    book: Arc<Book>,
    counted: Option<(Source, Seated<Source>)>,
}

impl Admission {
    /// By `policy`.
    pub(crate) fn new(policy: Policy) -> Self {
        Self(Arc::new(Book { by_source: Crowd::of(policy.per_source), policy, waiting: Mutex::default() }))
    }

    /// One more, of whatever source; `chance` is evenly of 0 up to 1.
    pub(crate) fn knock(&self, chance: f64) -> Result<Place, Early> {
        let mut waiting = self.0.lock();
        if self.0.policy.startups.drops(waiting.all, chance) {
            return Err(Early::Crowded);
        }
        waiting.all += 1;
        Ok(Place { book: self.0.clone(), counted: None })
    }

    /// Whether a balancer calls from there.
    pub(crate) fn is_balancer(&self, address: IpAddr) -> bool {
        Policy::holds(&self.0.policy.balancers, address)
    }
}

impl Policy {
    fn holds(networks: &[IpNet], address: IpAddr) -> bool {
        let canonical = address.to_canonical();
        networks.iter().any(|network| network.contains(&canonical))
    }
}

impl Place {
    /// It belongs to whoever is at `address`; to be asked once, since a header may have to be read first.
    pub(crate) fn belongs_to(&mut self, address: IpAddr, now: Instant) -> Result<(), Early> {
        if Policy::holds(&self.book.policy.exempt, address) {
            return Ok(());
        }
        let source = Source::from(address);
        if self.book.lock().penalties.shut_out(source, now).is_some() {
            return Err(Early::Penalised);
        }
        let seated = self.book.by_source.seat(vec![source]).ok_or(Early::Busy)?;
        self.counted = Some((source, seated));
        Ok(())
    }

    /// Its source has to answer for `weight`; one that is exempt has not.
    pub(crate) fn penalise(&self, weight: Duration, now: Instant) {
        if let Some((source, _)) = &self.counted {
            self.book.lock().penalties.add(*source, weight, now);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.book.lock().all -= 1;
    }
}

impl Book {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{MAX_PENALTY, PENALTY_THRESHOLD};

    fn admission(startups: &str, per_source: usize) -> Admission {
        let exempt = vec!["192.0.2.0/24".parse().unwrap()];
        Admission::new(Policy { startups: startups.parse().unwrap(), per_source, exempt, balancers: Vec::new() })
    }

    fn enter(admission: &Admission, address: &str, now: Instant) -> Result<Place, Early> {
        let mut place = admission.knock(0.5)?;
        place.belongs_to(address.parse().unwrap(), now)?;
        Ok(place)
    }

    #[test]
    fn one_source_leaves_room_for_others() {
        let (admission, now) = (admission("10", 2), Instant::now());
        let mut held: Vec<_> = (0..2).map(|_| enter(&admission, "198.51.100.1", now).unwrap()).collect();
        assert_eq!(enter(&admission, "::ffff:198.51.100.1", now).unwrap_err(), Early::Busy);
        held.push(enter(&admission, "198.51.100.2", now).unwrap());
        held.remove(0);
        held.push(enter(&admission, "198.51.100.1", now).unwrap());
        drop(held);
        let waiting = admission.0.lock();
        assert!(waiting.all == 0 && admission.0.by_source.is_empty(), "{admission:?}");
    }

    #[test]
    fn all_together_have_a_bound_too() {
        let (admission, now) = (admission("3", 10), Instant::now());
        let held: Vec<_> = (1..=3).map(|n| enter(&admission, &format!("198.51.100.{n}"), now).unwrap()).collect();
        assert_eq!(enter(&admission, "192.0.2.1", now).unwrap_err(), Early::Crowded);
        drop(held);
        assert!(enter(&admission, "192.0.2.1", now).is_ok());
    }

    #[test]
    fn whoever_was_penalised_is_kept_out_for_a_time() {
        let (admission, now) = (admission("10", 10), Instant::now());
        enter(&admission, "198.51.100.1", now).unwrap().penalise(PENALTY_THRESHOLD, now);
        assert_eq!(enter(&admission, "198.51.100.1", now).unwrap_err(), Early::Penalised);
        assert!(enter(&admission, "198.51.100.2", now).is_ok());
        assert!(enter(&admission, "198.51.100.1", now + PENALTY_THRESHOLD).is_ok());
        assert_eq!(admission.0.lock().all, 0, "who is turned away waits no more");
    }

    #[test]
    fn the_exempt_are_neither_counted_nor_penalised() {
        let (admission, now) = (admission("10", 1), Instant::now());
        let held: Vec<_> = (0..5).map(|_| enter(&admission, "::ffff:192.0.2.7", now).unwrap()).collect();
        held.iter().for_each(|place| place.penalise(MAX_PENALTY, now));
        assert!(enter(&admission, "192.0.2.7", now).is_ok());
    }
}

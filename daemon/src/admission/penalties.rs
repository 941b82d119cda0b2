//! What sources have to answer for, as sshd's `PerSourcePenalties` (sshd_config(5)): it adds up, shuts out, and passes.

use super::source::Source;
use crate::limits::{MAX_PENALISED, MAX_PENALTY, PENALTY_THRESHOLD};
use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

/// All of them. IPv4 and IPv6 do not share a table: whoever has many addresses of the one crowds nobody out of the other.
#[derive(Debug, Default)]
pub(super) struct Penalties {
    v4: Table,
    v6: Table,
}

/// Those of one family of addresses, at most [`MAX_PENALISED`].
#[derive(Debug, Default)]
struct Table {
    held: HashMap<Source, Penalty>,
    /// The same by their ends.
    ends: BTreeSet<(Instant, Source)>,
}

#[derive(Clone, Copy, Debug)]
struct Penalty {
    until: Instant,
    /// It passed the threshold: shut out until the end.
    shut: bool,
}

impl Penalties {
    /// How much longer `source` is shut out.
    pub(super) fn shut_out(&self, source: Source, now: Instant) -> Option<Duration> {
        let penalty = self.table(source).held.get(&source).filter(|penalty| penalty.shut)?;
        penalty.until.checked_duration_since(now).filter(|rest| !rest.is_zero())
    }

    /// Adds `weight` to what `source` has to answer for.
    pub(super) fn add(&mut self, source: Source, weight: Duration, now: Instant) {
        let table = if source.is_v4() { &mut self.v4 } else { &mut self.v6 };
        table.expire(now);
        let held = table.take(source);
        let until = held.map_or(now, |held| held.until) + weight;
        let until = until.min(now + MAX_PENALTY);
        let shut = held.is_some_and(|held| held.shut) || until - now >= PENALTY_THRESHOLD;
        table.put(source, Penalty { until, shut });
        table.make_room();
    }

    const fn table(&self, source: Source) -> &Table {
        if source.is_v4() { &self.v4 } else { &self.v6 }
    }
}

impl Table {
    fn take(&mut self, source: Source) -> Option<Penalty> {
        let held = self.held.remove(&source)?;
        self.ends.remove(&(held.until, source));
        Some(held)
    }

    fn put(&mut self, source: Source, penalty: Penalty) {
        self.held.insert(source, penalty);
        self.ends.insert((penalty.until, source));
    }

    fn expire(&mut self, now: Instant) {
        while let Some(&(end, source)) = self.ends.first()
            && end <= now
        {
            self.take(source);
        }
    }

    /// A table that is full forgets the one that would end first. Never does it shut out those whom it cannot remember:
    /// whoever owns a great many addresses could lock everybody out; what holds against them is the bound on all that wait.
    fn make_room(&mut self) {
        while self.held.len() > MAX_PENALISED
            && let Some(&(_, source)) = self.ends.first()
        {
            self.take(source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    const SECOND: Duration = Duration::from_secs(1);

    fn v4(n: usize) -> Source {
        IpAddr::from(Ipv4Addr::from_bits(n as u32)).into()
    }

    fn v6(n: usize) -> Source {
        IpAddr::from(Ipv6Addr::from_bits((n as u128) << 64)).into()
    }

    #[test]
    fn they_add_up_shut_out_and_pass() {
        let (mut penalties, now) = (Penalties::default(), Instant::now());
        penalties.add(v4(1), PENALTY_THRESHOLD - SECOND, now);
        assert_eq!(penalties.shut_out(v4(1), now), None, "below the threshold nobody is shut out");
        penalties.add(v4(1), SECOND * 2, now + SECOND);
        assert_eq!(penalties.shut_out(v4(1), now + SECOND), Some(PENALTY_THRESHOLD));
        assert_eq!(penalties.shut_out(v4(2), now + SECOND), None);
        let last = now + SECOND + PENALTY_THRESHOLD;
        assert_eq!(penalties.shut_out(v4(1), last - SECOND), Some(SECOND), "it lasts to its end, below the threshold too");
        assert_eq!(penalties.shut_out(v4(1), last), None);
        penalties.add(v4(1), SECOND, last);
        assert_eq!(penalties.shut_out(v4(1), last), None, "what has passed is forgotten");
    }

    #[test]
    fn slow_failures_never_add_up() {
        let (mut penalties, mut now) = (Penalties::default(), Instant::now());
        for _ in 0..10_000 {
            penalties.add(v4(1), SECOND, now);
            now += SECOND;
            assert_eq!(penalties.shut_out(v4(1), now), None);
        }
    }

    #[test]
    fn none_lasts_longer_than_the_longest() {
        let (mut penalties, now) = (Penalties::default(), Instant::now());
        (0..1000).for_each(|_| penalties.add(v4(1), PENALTY_THRESHOLD, now));
        assert_eq!(penalties.shut_out(v4(1), now), Some(MAX_PENALTY));
    }

    #[test]
    fn a_full_table_forgets_the_least_penalised_and_locks_nobody_out() {
        let (mut penalties, now) = (Penalties::default(), Instant::now());
        penalties.add(v4(0), MAX_PENALTY, now);
        penalties.add(v6(1), PENALTY_THRESHOLD, now);
        for n in 0..MAX_PENALISED + 100 {
            penalties.add(v6(n), SECOND, now + SECOND);
        }
        assert_eq!((penalties.v6.held.len(), penalties.v6.ends.len()), (MAX_PENALISED, MAX_PENALISED));
        assert!(penalties.shut_out(v6(1), now + SECOND).is_some(), "the worst are remembered");
        assert!(penalties.shut_out(v4(0), now).is_some(), "one family does not crowd the other out");
        assert_eq!(penalties.shut_out(v6(MAX_PENALISED + 1000), now + SECOND), None);
        penalties.add(v6(7), SECOND, now + MAX_PENALTY * 2);
        assert_eq!((penalties.v6.held.len(), penalties.v6.ends.len()), (1, 1), "what has passed is gone");
    }
}

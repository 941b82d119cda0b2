//! Whether this daemon should be given new users, pure.

use drawbridge_shared::{
    outage::{Term, Worth},
    time::Timestamp,
};
use std::time::Duration;

/// Why it should not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unready {
    #[error("draining: live sessions go on, new users are turned away")]
    Draining,
    #[error("empty: no key snapshot has come yet; is the edge reachable?")]
    Empty,
    #[error(
        "stale: the newest key snapshot is of {of}, and this machine's clock says {now}; users still get in, revocations may not \
         arrive; is the clock right, is the edge reachable?"
    )]
    Stale { of: Timestamp, now: Timestamp },
    #[error("clock: the key snapshot is of {0} s from now; no newer one is believed until this machine's clock is right")]
    Clock(u64),
    #[error(
        "over: the newest key snapshot ended at {end}, and this machine's clock says {now}; nobody gets in; is the clock right, is \
         the edge reachable?"
    )]
    Over { end: Timestamp, now: Timestamp },
    #[error("clock: the key snapshot is of another day than this machine's clock; nobody gets in until that is right")]
    Unbelievable,
}

/// Decides at `now` by the term of the held state, with `grace` behind it; `None` where there is none.
pub(super) fn readiness(held: Option<Term>, now: Timestamp, grace: Duration, draining: bool) -> Result<(), Unready> {
    if draining {
        return Err(Unready::Draining);
    }
    let Some(term) = held else { return Err(Unready::Empty) };
    match term.worth(now, grace) {
        Worth::Fresh => Ok(()),
        Worth::Stale(_) => Err(Unready::Stale { of: term.issued_at, now }),
        Worth::Ahead(by) => Err(Unready::Clock(by.as_secs())),
        Worth::Over => Err(Unready::Over { end: term.not_after, now }),
        Worth::Unbelievable => Err(Unready::Unbelievable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_unix(1_800_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    fn held(hours_ago: i64) -> Option<Term> {
        let issued_at = Timestamp::from_unix(NOON.as_unix().saturating_add_signed(-3600 * hours_ago));
        Some(Term { issued_at, not_after: issued_at.after(24 * HOUR) })
    }

    #[test]
    fn only_young_state_of_a_daemon_that_stays_is_ready() {
        let ready = |held, draining| readiness(held, NOON, HOUR, draining);
        assert_eq!(ready(held(0), false), Ok(()));
        assert_eq!(ready(held(0), true), Err(Unready::Draining));
        assert_eq!(ready(None, false), Err(Unready::Empty));
        assert!(matches!(ready(held(1), false), Err(Unready::Stale { .. })));
        assert_eq!(ready(held(-1), false), Err(Unready::Clock(3600)));
        assert!(matches!(ready(held(26), false), Err(Unready::Over { .. })));
        assert_eq!(ready(held(-48), false), Err(Unready::Unbelievable));
    }

    #[test]
    fn whoever_asks_sees_both_times() {
        for (hours_ago, held_is) in [(2, "is of 2027-01-15T06:00:00Z"), (30, "ended at 2027-01-15T02:00:00Z")] {
            let words = readiness(held(hours_ago), NOON, HOUR, false).unwrap_err().to_string();
            assert!(words.contains(&format!("{held_is}, and this machine's clock says 2027-01-15T08:00:00Z;")), "{words}");
        }
    }
}

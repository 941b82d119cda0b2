//! Whether this daemon should be given new users, pure.

use crate::enlisted::UNLISTED;
use drawbridge_shared::{
    outage::{Term, Worth},
    time::Timestamp,
};
use std::{sync::Arc, time::Duration};

/// Why it should not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unready {
    #[error("draining: live sessions go on, new users are turned away")]
    Draining,
    #[error(
        "token: the edge refuses this daemon's token; put a good one into its --token-file, which is read again, or restart it with \
         one: {0}"
    )]
    Token(Arc<str>),
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
    #[error("unregistered: {UNLISTED}")]
    Unlisted,
    #[error("clock: the key snapshot is of another day than this machine's clock; nobody gets in until that is right")]
    Unbelievable,
}

/// What is seen of this daemon.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// It ends.
    pub(super) draining: bool,
    /// What the edge says of its token, where it refuses that.
    pub(super) turned_down: Option<Arc<str>>,
    /// The term of the held state, where there is any.
    pub(super) held: Option<Term>,
    /// That names this daemon.
    pub(super) listed: bool,
}

/// Decides at `now`, with `grace` behind the held state's end.
pub(super) fn readiness(seen: Seen, now: Timestamp, grace: Duration) -> Result<(), Unready> {
    if seen.draining {
        return Err(Unready::Draining);
    }
    if let Some(words) = seen.turned_down {
        return Err(Unready::Token(words));
    }
    let Some(term) = seen.held else { return Err(Unready::Empty) };
    match term.worth(now, grace) {
        Worth::Fresh if seen.listed => Ok(()),
        Worth::Fresh => Err(Unready::Unlisted),
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

    fn seen(hours_ago: i64) -> Seen {
        Seen { draining: false, turned_down: None, held: held(hours_ago), listed: true }
    }

    fn ready(seen: Seen) -> Result<(), Unready> {
        readiness(seen, NOON, HOUR)
    }

    #[test]
    fn only_young_state_of_a_named_daemon_that_stays_is_ready() {
        assert_eq!(ready(seen(0)), Ok(()));
        assert_eq!(ready(Seen { draining: true, ..seen(0) }), Err(Unready::Draining));
        assert_eq!(ready(Seen { held: None, ..seen(0) }), Err(Unready::Empty));
        let turned_down = Some("no".into());
        assert_eq!(ready(Seen { turned_down, held: None, ..seen(0) }), Err(Unready::Token("no".into())));
        assert_eq!(ready(Seen { listed: false, ..seen(0) }), Err(Unready::Unlisted));
        assert!(matches!(ready(seen(1)), Err(Unready::Stale { .. })));
        assert_eq!(ready(seen(-1)), Err(Unready::Clock(3600)));
        assert!(matches!(ready(seen(26)), Err(Unready::Over { .. })));
        assert_eq!(ready(seen(-48)), Err(Unready::Unbelievable));
    }

    #[test]
    fn whoever_asks_sees_both_times() {
        for (hours_ago, held_is) in [(2, "is of 2027-01-15T06:00:00Z"), (30, "ended at 2027-01-15T02:00:00Z")] {
            let words = ready(seen(hours_ago)).unwrap_err().to_string();
            assert!(words.contains(&format!("{held_is}, and this machine's clock says 2027-01-15T08:00:00Z;")), "{words}");
        }
    }
}

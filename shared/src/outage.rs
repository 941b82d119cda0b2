//! How long signed state is believed and decides: the rules of an outage, one place for both verifiers.
//!
//! | | what comes | what is held |
//! |---|---|---|
//! | older than what is held, forged, foreign, cut, swapped | refused, the held stays | |
//! | within its term and the grace behind it | believed | decides logins |
//! | past both | refused | decides no login, keeps its number; whoever is in stays |
//! | issued up to [`CLOCK_SKEW`] ahead of our clock | believed | decides |
//! | further ahead: our clock is behind | refused, the held stays | decides, up to [`CLOCK_ERROR`] |
//! | further than [`CLOCK_ERROR`] | refused | decides no login |
//!
//! So a clock that is a day ahead lets users in by what the edge signs now, as long as the grace is a day; one that is a
//! day behind lets them in by what was known before it fell back. State on disk counts as held: it was believed when it
//! came, and its number has to guard against older state whatever the clock says. Nothing here ends a live session.

use crate::time::Timestamp;
use std::time::Duration;

/// How far ahead of ours the edge's clock may be.
pub const CLOCK_SKEW: Duration = Duration::from_secs(120);
/// How far behind our clock may have fallen while held state still decides: a day, and the hours of a wrong time zone.
/// One that has lost its battery stands years back and must not keep old state alive.
pub const CLOCK_ERROR: Duration = Duration::from_secs(38 * 60 * 60);
/// State this old shows: three times what the edge lets pass before it signs anew.
pub const STALE: Duration = Duration::from_secs(15 * 60);

/// From when until when a document serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// When it was signed.
    pub issued_at: Timestamp,
    /// Until when it serves.
    pub not_after: Timestamp,
}

/// Why a document is not believed at this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untimely {
    /// Issued in the future.
    Future,
    /// Past its end and the grace behind it.
    Expired,
}

/// What held state is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// It is young.
    Fresh,
    /// It decides, and is this old: its edge has not been heard for a while.
    Stale(Duration),
    /// It decides, and was issued this far in the future: our clock is behind.
    Ahead(Duration),
    /// It decides no login: its end and the grace behind it have passed.
    Over,
    /// It decides no login: our clock cannot be right.
    Unbelievable,
}

impl Term {
    /// Whether what comes may be believed at `now`, with `grace` behind its end.
    pub fn admits(&self, now: Timestamp, grace: Duration) -> Result<(), Untimely> {
        if self.issued_at > now.after(CLOCK_SKEW) {
            Err(Untimely::Future)
        } else if now > self.not_after.after(grace) {
            Err(Untimely::Expired)
        } else {
            Ok(())
        }
    }

    /// What it is worth at `now` to whoever holds it.
    pub fn worth(&self, now: Timestamp, grace: Duration) -> Worth {
        let (ahead, age) = (self.issued_at.since(now), now.since(self.issued_at));
        if now > self.not_after.after(grace) {
            Worth::Over
        } else if ahead > CLOCK_ERROR {
            Worth::Unbelievable
        } else if ahead > CLOCK_SKEW {
            Worth::Ahead(ahead)
        } else if age > STALE {
            Worth::Stale(age)
        } else {
            Worth::Fresh
        }
    }

    /// Whether it decides logins at `now`.
    pub fn decides(&self, now: Timestamp, grace: Duration) -> bool {
        !matches!(self.worth(now, grace), Worth::Over | Worth::Unbelievable)
    }
}

/// Why state that was offered is not believed: the closed set that logs and metrics name it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Disbelief {
    /// Longer than it may be.
    TooLong,
    /// Without a signature: cut off, or no document at all.
    Unsigned,
    /// Signed by a key that is not trusted.
    WrongKey,
    /// Its signature is for other bytes.
    Forged,
    /// Signed, and unreadable.
    Malformed,
    /// Of a version that this build does not know.
    Version,
    /// Another workspace's.
    Foreign,
    /// Older than what is held.
    Rollback,
    /// Issued in the future.
    Future,
    /// Past its end and the grace behind it.
    Expired,
    /// A shard is not the one that the manifest names.
    WrongShard,
}

impl Disbelief {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::TooLong,
        Self::Unsigned,
        Self::WrongKey,
        Self::Forged,
        Self::Malformed,
        Self::Version,
        Self::Foreign,
        Self::Rollback,
        Self::Future,
        Self::Expired,
        Self::WrongShard,
    ];

    /// Its name.
    pub const fn label(self) -> &'static str {
        match self {
            Self::TooLong => "too-long",
            Self::Unsigned => "unsigned",
            Self::WrongKey => "wrong-key",
            Self::Forged => "forged",
            Self::Malformed => "malformed",
            Self::Version => "version",
            Self::Foreign => "foreign",
            Self::Rollback => "rollback",
            Self::Future => "future",
            Self::Expired => "expired",
            Self::WrongShard => "wrong-shard",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_unix(1_800_000_000);
    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// Issued at noon, for a day.
    fn term() -> Term {
        Term { issued_at: NOON, not_after: NOON.after(DAY) }
    }

    fn before(span: Duration) -> Timestamp {
        Timestamp::from_unix(NOON.as_unix() - span.as_secs())
    }

    #[test]
    fn an_outage_is_survived_to_the_end_of_the_grace_and_no_second_longer() {
        let last = NOON.after(DAY + HOUR);
        assert!(term().decides(last, HOUR) && term().admits(last, HOUR).is_ok());
        let late = last.after(Duration::from_secs(1));
        assert_eq!(term().worth(late, HOUR), Worth::Over);
        assert_eq!(term().admits(late, HOUR), Err(Untimely::Expired));
        assert!(!term().decides(late, HOUR));
    }

    #[test]
    fn age_shows_after_a_quarter_of_an_hour() {
        assert_eq!(term().worth(NOON.after(STALE), HOUR), Worth::Fresh);
        assert_eq!(term().worth(NOON.after(HOUR), HOUR), Worth::Stale(HOUR));
    }

    #[test]
    fn a_clock_a_day_ahead_lets_users_in_by_what_is_signed_now() {
        let wrong = NOON.after(DAY);
        assert_eq!(term().admits(wrong, DAY), Ok(()));
        assert_eq!(term().worth(wrong, DAY), Worth::Stale(DAY));
        assert_eq!(term().admits(wrong.after(HOUR), Duration::ZERO), Err(Untimely::Expired), "without a grace it does not");
    }

    #[test]
    fn a_clock_a_day_behind_keeps_what_was_known_and_takes_nothing_new() {
        let wrong = before(DAY);
        assert_eq!(term().admits(wrong, DAY), Err(Untimely::Future));
        assert_eq!(term().worth(wrong, DAY), Worth::Ahead(DAY));
        assert!(term().decides(wrong, DAY));
    }

    #[test]
    fn a_clock_that_lost_its_battery_lets_nobody_in() {
        assert_eq!(term().worth(before(CLOCK_ERROR + HOUR), DAY), Worth::Unbelievable);
        assert!(!term().decides(Timestamp::from_unix(0), Duration::MAX));
    }

    #[test]
    fn clocks_differ_a_little() {
        let ahead = before(CLOCK_SKEW);
        assert_eq!((term().admits(ahead, HOUR), term().worth(ahead, HOUR)), (Ok(()), Worth::Fresh));
        let more = before(CLOCK_SKEW + Duration::from_secs(1));
        assert_eq!(term().admits(more, HOUR), Err(Untimely::Future));
    }

    #[test]
    fn every_disbelief_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = Disbelief::ALL.iter().map(|one| one.label()).collect();
        assert_eq!(names.len(), Disbelief::ALL.len());
    }
}

//! Why a connection is given up before a key was proven: one list for log, metric, trail, penalty and the words for the user.

use crate::{
    denial::Denial,
    limits::{PENALTY_GONE, PENALTY_REFUSED, PENALTY_SLOW, PENALTY_VIOLATION},
};
use std::{fmt, time::Duration};

/// An end before the login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Early {
    /// The daemon has all the connections that it can hold.
    Full,
    /// Too many wait for their login.
    Crowded,
    /// Too many of this source do.
    Busy,
    /// Its source did too much of what follows.
    Penalised,
    /// A balancer did not say for whom it speaks.
    Header,
    /// It took too long.
    Slow,
    /// No key of the client's is known.
    Unknown,
    /// None is, for want of signed state that decides.
    Stale,
    /// Too many signatures did not come, or were wrong.
    Signatures,
    /// The client was no SSH client, or a broken one.
    Violation,
    /// The client went without having tried a key in vain.
    Gone,
}

impl Early {
    /// Its name, of a closed set.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Crowded => "crowded",
            Self::Busy => "busy",
            Self::Penalised => "penalised",
            Self::Header => "proxy-header",
            Self::Slow => "slow",
            Self::Unknown => Denial::UnknownKey.label(),
            Self::Stale => Denial::Stale.label(),
            Self::Signatures => "signatures",
            Self::Violation => "violation",
            Self::Gone => "gone",
        }
    }

    /// What its source has to answer for.
    pub(crate) const fn penalty(self) -> Duration {
        match self {
            Self::Full | Self::Crowded | Self::Busy | Self::Penalised | Self::Header => Duration::ZERO,
            Self::Slow => PENALTY_SLOW,
            Self::Unknown | Self::Signatures => PENALTY_REFUSED,
            Self::Violation => PENALTY_VIOLATION,
            // Nobody's fault but ours: a try is a look.
            Self::Gone | Self::Stale => PENALTY_GONE,
        }
    }

    /// The true reason, where none is known for a `trouble` of ours.
    pub(crate) fn in_truth(self, trouble: Result<(), Denial>) -> Self {
        if self == Self::Unknown && trouble == Err(Denial::Stale) { Self::Stale } else { self }
    }

    /// Whether somebody tried to log in and was refused, which the trail tells.
    pub(super) const fn is_refusal(self) -> bool {
        matches!(self, Self::Unknown | Self::Stale | Self::Signatures)
    }
}

impl fmt::Display for Early {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "this jump host has all the connections that it can hold; try again later",
            Self::Crowded => "this jump host has too many logins under way; try again in a moment",
            Self::Busy => "your address has too many logins under way here; wait for them, then try again",
            Self::Penalised => "too many failed logins from your address; try again in some minutes",
            Self::Header => "from your address a PROXY protocol header (version 2) has to come first",
            Self::Slow => "the login took too long; try again",
            Self::Unknown => "none of your keys is registered here",
            Self::Stale => "this jump host holds no list of keys that is good now; its operator has to look",
            Self::Signatures => "too many failed signatures on one connection; check your key, then try again",
            Self::Violation => "this is not how SSH is spoken",
            Self::Gone => "the client went",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_not_blamed_for_state_that_is_over() {
        let over = |early: Early| early.in_truth(Err(Denial::Stale));
        assert_eq!(
            [over(Early::Unknown), over(Early::Slow), Early::Unknown.in_truth(Ok(()))],
            [Early::Stale, Early::Slow, Early::Unknown]
        );
        assert!(Early::Stale.is_refusal() && Early::Stale.label() == "stale" && Early::Stale.penalty() < PENALTY_REFUSED);
    }
}

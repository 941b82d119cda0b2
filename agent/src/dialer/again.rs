//! When a daemon is called again after a try has ended. Pure: time and chance are arguments.

use crate::limits::{DISMISSAL_SPREAD, SETTLED, SUPERSEDED_PAUSE};
use drawbridge_shared::{backoff::Backoff, tunnel::frame::Reason};
use std::time::Duration;

/// What the end of a try asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// The daemon leaves, and its successor may be there already: soon, and not with all its other agents at once.
    Soon,
    /// After a back-off, and this long before that.
    Later(Duration),
}

impl Again {
    /// After a daemon that said why.
    pub(super) const fn after(reason: Reason) -> Self {
        match reason {
            Reason::Draining | Reason::Stopping => Self::Soon,
            Reason::Superseded => Self::Later(SUPERSEDED_PAUSE),
            Reason::Version | Reason::NotRegistered | Reason::Busy | Reason::Misbehaved => Self::Later(Duration::ZERO),
        }
    }

    /// How long to wait, where the tunnel held for `held`; `chance` is uniform in 0..1.
    pub(super) fn wait(self, backoff: &mut Backoff, held: Duration, chance: f64) -> Duration {
        match self {
            Self::Soon if held >= SETTLED => {
                backoff.forget();
                DISMISSAL_SPREAD.mul_f64(chance)
            }
            Self::Soon => backoff.after(held, chance),
            Self::Later(least) => least + backoff.after(held, chance),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::DIAL_RETRY;

    fn tired() -> Backoff {
        let mut backoff = Backoff::new(DIAL_RETRY.0, DIAL_RETRY.1);
        (0..20).for_each(|_| assert!(backoff.after(Duration::ZERO, 1.0) <= DIAL_RETRY.1));
        backoff
    }

    #[test]
    fn a_daemon_that_leaves_is_called_soon_and_by_no_herd() {
        for reason in [Reason::Draining, Reason::Stopping] {
            let mut backoff = tired();
            let mut wait = |chance| Again::after(reason).wait(&mut backoff, SETTLED, chance);
            assert_eq!([0.0, 0.5, 1.0].map(&mut wait), [Duration::ZERO, DISMISSAL_SPREAD / 2, DISMISSAL_SPREAD]);
            assert_eq!(backoff.after(Duration::ZERO, 1.0), DIAL_RETRY.0, "its successor is called with patience from the first");
        }
    }

    #[test]
    fn one_that_always_leaves_at_once_is_called_seldom() {
        assert_eq!(Again::Soon.wait(&mut tired(), Duration::from_secs(1), 1.0), DIAL_RETRY.1);
    }

    #[test]
    fn what_is_asked_for_is_waited_beside_the_back_off() {
        let asked = Duration::from_secs(7);
        assert_eq!(Again::Later(asked).wait(&mut tired(), Duration::ZERO, 1.0), asked + DIAL_RETRY.1);
        assert_eq!(Again::after(Reason::Superseded).wait(&mut tired(), Duration::ZERO, 0.0), SUPERSEDED_PAUSE);
        let stable = drawbridge_shared::backoff::STABLE;
        assert_eq!(Again::after(Reason::Busy).wait(&mut tired(), stable, 1.0), DIAL_RETRY.0, "a stable minute is forgiven");
    }
}

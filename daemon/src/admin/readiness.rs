//! Whether this daemon should be given new users, pure.

use drawbridge_shared::outage::Worth;

/// Why it should not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unready {
    #[error("draining: live sessions go on, new users are turned away")]
    Draining,
    #[error("empty: no key snapshot has come yet; is the edge reachable?")]
    Empty,
    #[error("stale: the key snapshot is {0} s old; users still get in, revocations do not arrive; is the edge reachable?")]
    Stale(u64),
    #[error("clock: the key snapshot is of {0} s from now; no newer one is believed until this machine's clock is right")]
    Clock(u64),
    #[error("over: the key snapshot has ended, and its grace too; nobody gets in until the edge is reachable")]
    Over,
    #[error("clock: the key snapshot is of another day than this machine's clock; nobody gets in until that is right")]
    Unbelievable,
}

/// Decides by what the held state is worth; `None` where there is none.
pub(super) const fn readiness(worth: Option<Worth>, draining: bool) -> Result<(), Unready> {
    if draining {
        return Err(Unready::Draining);
    }
    match worth {
        Some(Worth::Fresh) => Ok(()),
        None => Err(Unready::Empty),
        Some(Worth::Stale(age)) => Err(Unready::Stale(age.as_secs())),
        Some(Worth::Ahead(by)) => Err(Unready::Clock(by.as_secs())),
        Some(Worth::Over) => Err(Unready::Over),
        Some(Worth::Unbelievable) => Err(Unready::Unbelievable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_young_state_of_a_daemon_that_stays_is_ready() {
        let hour = Duration::from_secs(3600);
        assert_eq!(readiness(Some(Worth::Fresh), false), Ok(()));
        assert_eq!(readiness(Some(Worth::Fresh), true), Err(Unready::Draining));
        assert_eq!(readiness(None, false), Err(Unready::Empty));
        assert_eq!(readiness(Some(Worth::Stale(hour)), false), Err(Unready::Stale(3600)));
        assert_eq!(readiness(Some(Worth::Ahead(hour)), false), Err(Unready::Clock(3600)));
        assert_eq!(readiness(Some(Worth::Over), false), Err(Unready::Over));
        assert_eq!(readiness(Some(Worth::Unbelievable), false), Err(Unready::Unbelievable));
    }
}

//! A door that cannot accept, for want of file descriptors mostly: told at once, then at most once a minute with how often.

use crate::limits::ACCEPT_TOLD;
use std::{io, time::Instant};
use tracing::warn;

/// What one door's log does not know yet.
#[derive(Debug)]
pub(crate) struct Jammed {
    door: &'static str,
    untold: u64,
    told: Option<Instant>,
}

impl Jammed {
    /// Of the `door` of these people.
    pub(crate) const fn new(door: &'static str) -> Self {
        Self { door, untold: 0, told: None }
    }

    /// Once more, for `fault`.
    pub(crate) fn tell(&mut self, fault: &io::Error) {
        if let Some(times) = self.note(Instant::now()) {
            warn!(%fault, door = self.door, times, "cannot accept");
        }
    }

    /// One more; how many there were since the last line, if it is time for another.
    fn note(&mut self, now: Instant) -> Option<u64> {
        self.untold += 1;
        let due = self.told.is_none_or(|told| now.saturating_duration_since(told) >= ACCEPT_TOLD);
        due.then(|| {
            self.told = Some(now);
            std::mem::take(&mut self.untold)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_jammed_door_is_a_line_a_minute_and_loses_no_number() {
        let (mut jammed, now) = (Jammed::new("users"), Instant::now());
        let mut at = |millis| jammed.note(now + Duration::from_millis(millis));
        assert_eq!(at(0), Some(1));
        assert_eq!((1..600).filter_map(|n| at(100 * n)).count(), 0);
        assert_eq!(at(60_000), Some(600));
        assert_eq!(at(60_100), None);
    }
}

//! Waiting that spreads a herd: between tries (full jitter, doubling to a ceiling, little after one that held, forgotten after a
//! stable minute) and between regular calls. Pure: time and chance are arguments.

use std::time::Duration;

/// A try that lasted this long was no failure.
pub const STABLE: Duration = Duration::from_secs(60);

/// From here on a try has come to something: it works, if not for long, and somebody waits for the next one.
const HELD: Duration = Duration::from_secs(2);
/// Of the time that it held, it is paid for with such a part at most.
const PRICE: u32 = 8;

/// The state between tries.
#[derive(Clone, Debug)]
pub struct Backoff {
    floor: Duration,
    ceiling: Duration,
    tries: u32,
}

impl Backoff {
    /// Waits from zero up to `floor` first, up to `ceiling` in the end.
    pub const fn new(floor: Duration, ceiling: Duration) -> Self {
        Self { floor, ceiling, tries: 0 }
    }

    /// The next try counts as the first.
    pub const fn forget(&mut self) {
        self.tries = 0;
    }

    /// How long to wait after a try that lasted `lasted`; `chance` is uniform in 0..1 and spreads a herd.
    pub fn after(&mut self, lasted: Duration, chance: f64) -> Duration {
        if lasted >= STABLE {
            self.forget();
        }
        let span = self.floor.saturating_mul(1 << self.tries.min(16)).min(self.ceiling);
        self.tries = self.tries.saturating_add(1);
        let price = if lasted < HELD { self.ceiling } else { (lasted / PRICE).max(self.floor) };
        span.min(price).mul_f64(chance.clamp(0.0, 1.0))
    }
}

/// `span`, a quarter shorter to a quarter longer: callers that began together drift apart. `chance` is uniform in 0..1.
pub fn spread(span: Duration, chance: f64) -> Duration {
    span.mul_f64(0.75 + chance.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: Duration = Duration::from_millis(250);
    const CEILING: Duration = Duration::from_secs(30);

    #[test]
    fn waits_double_to_the_ceiling() {
        let mut backoff = Backoff::new(FLOOR, CEILING);
        let waits: Vec<_> = (0..9).map(|_| backoff.after(Duration::ZERO, 1.0).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
        (0..100).for_each(|_| assert!(backoff.after(Duration::ZERO, 1.0) <= CEILING));
    }

    #[test]
    fn regular_calls_drift_apart() {
        let spans = [0.0, 0.5, 1.0].map(|chance| spread(Duration::from_secs(4), chance).as_secs());
        assert_eq!(spans, [3, 4, 5]);
    }

    #[test]
    fn what_held_for_a_while_is_paid_for_with_a_part_of_that() {
        let mut backoff = Backoff::new(FLOOR, CEILING);
        assert_eq!((0..20).map(|_| backoff.after(Duration::ZERO, 1.0)).last(), Some(CEILING));
        assert_eq!(backoff.after(Duration::from_secs(8), 1.0), Duration::from_secs(1));
        assert_eq!(backoff.after(HELD, 1.0), FLOOR);
        assert_eq!(backoff.after(HELD / 2, 1.0), CEILING, "it came to nothing");
    }

    #[test]
    fn chance_spreads_and_stability_forgets() {
        let mut backoff = Backoff::new(FLOOR, CEILING);
        assert_eq!(backoff.after(Duration::ZERO, 0.0), Duration::ZERO);
        assert_eq!(backoff.after(Duration::ZERO, 0.5), Duration::from_millis(250));
        assert_eq!(backoff.after(STABLE, 1.0), FLOOR);
    }
}

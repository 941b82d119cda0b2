//! When QUIC is tried again beside a WebSocket that serves: soon at first, then seldom. Pure: chance is an argument.

use crate::limits::QUIC_PROBES;
use drawbridge_shared::backoff::spread;
use std::time::Duration;

/// The state between tries.
#[derive(Debug)]
pub(super) struct Probes(Duration);

impl Default for Probes {
    fn default() -> Self {
        Self(QUIC_PROBES.0)
    }
}

impl Probes {
    /// How long to wait now; `chance` is uniform in 0..1.
    pub(super) fn next(&mut self, chance: f64) -> Duration {
        let span = self.0;
        self.0 = (span * 2).min(QUIC_PROBES.1);
        spread(span, chance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_become_seldom() {
        let mut probes = Probes::default();
        let waits: Vec<_> = (0..8).map(|_| probes.next(0.5).as_secs()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300]);
    }
}

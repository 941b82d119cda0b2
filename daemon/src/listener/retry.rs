//! How long a refused agent is to wait: longer the more knock at once, and no two the same. Pure.

use crate::limits::{MAX_RETRY_AFTER, RETRY_AFTER, RETRY_EACH};
use drawbridge_shared::backoff::spread;
use std::time::Duration;

/// Where `waiting` others knock; `chance` is uniform in 0..1.
pub(super) fn after(waiting: usize, chance: f64) -> Duration {
    let others = RETRY_EACH.saturating_mul(u32::try_from(waiting).unwrap_or(u32::MAX));
    spread((RETRY_AFTER + others).min(MAX_RETRY_AFTER), chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_herd_is_spread() {
        assert_eq!([0.0, 0.5, 1.0].map(|chance| after(0, chance)), [750, 1000, 1250].map(Duration::from_millis));
        assert_eq!(after(1024, 0.5), RETRY_AFTER + 1024 * RETRY_EACH);
        assert_eq!(after(usize::MAX, 0.5), MAX_RETRY_AFTER);
    }
}

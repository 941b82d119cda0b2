//! The wall clock, read only by loops.

use crate::time::Timestamp;
use std::{
    future,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time;

/// Whoever waits for a time of day looks at the clock this often: it may be set meanwhile.
const LOOK: Duration = Duration::from_secs(60);

/// Now, by this machine's clock; the epoch when that stands before it.
pub fn now() -> Timestamp {
    Timestamp::from_unix(since_epoch().as_secs())
}

/// Now in RFC 3339 with milliseconds, for whoever reads what happened.
pub fn stamp() -> String {
    let now = since_epoch();
    let text = Timestamp::from_unix(now.as_secs()).to_string();
    format!("{}.{:03}Z", text.trim_end_matches('Z'), now.subsec_millis())
}

/// Waits until `last`, the last second of something, is over, or the clock is worth another look; for ever without one.
pub async fn passed(last: Option<Timestamp>) {
    let Some(last) = last else { return future::pending().await };
    let over = Duration::from_secs(last.as_unix().saturating_add(1));
    time::sleep(over.saturating_sub(since_epoch()).min(LOOK)).await;
}

/// Waits until `moment` has come by this clock, which goes on while the machine is suspended: what tokio sleeps by does not.
pub async fn reached(moment: Timestamp) {
    until(moment, since_epoch).await;
}

async fn until(moment: Timestamp, since_epoch: impl Fn() -> Duration) {
    loop {
        let left = Duration::from_secs(moment.as_unix()).saturating_sub(since_epoch());
        if left.is_zero() {
            return;
        }
        time::sleep(left.min(LOOK)).await;
    }
}

#[allow(clippy::disallowed_methods, reason = "the one place that reads it")]
fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test(start_paused = true)]
    async fn a_second_has_passed_when_the_next_begins() {
        let begun = time::Instant::now();
        passed(Some(now())).await;
        assert!(begun.elapsed() <= Duration::from_millis(1001));
        passed(Some(Timestamp::from_unix(9))).await;
        passed(Some(now().after(Duration::from_secs(3600)))).await;
        assert!(begun.elapsed() <= Duration::from_secs(1) + LOOK + Duration::from_millis(2), "the clock is looked at again");
        let never = time::timeout(LOOK * 2, passed(None)).await;
        assert!(never.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_that_came_while_the_machine_was_suspended_is_noticed_within_a_minute() {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let (begun, suspended) = (time::Instant::now(), Cell::new(Duration::ZERO));
        let clock = || begun.elapsed() + suspended.get();
        let tomorrow = Timestamp::from_unix(DAY.as_secs());
        let resume = async {
            time::sleep(10 * LOOK).await;
            suspended.set(7 * DAY);
        };
        tokio::join!(until(tomorrow, clock), resume);
        assert!(begun.elapsed() <= 11 * LOOK + Duration::from_millis(20), "{:?}", begun.elapsed());
        until(tomorrow, clock).await;
        let (begun, awake) = (time::Instant::now(), Timestamp::from_unix(90));
        until(awake, || begun.elapsed()).await;
        assert_eq!(begun.elapsed().as_secs(), 90);
    }

    #[test]
    fn a_stamp_tells_milliseconds() {
        let stamp = stamp();
        assert!(stamp.len() == "2026-11-25T05:00:00.123Z".len() && stamp.ends_with('Z'), "{stamp}");
        assert!(stamp.parse::<Timestamp>().is_ok_and(|time| time <= now()));
    }
}

//! The wall clock, read only by loops.

use crate::time::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now, by this machine's clock; the epoch when that stands before it.
#[allow(clippy::disallowed_methods, reason = "the one place that reads it")]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix(since.as_secs())
}

//! Many small things told in few lines: the first at once, then their numbers at most once a pause.

use crate::limits::DIGEST_PAUSE;
use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Mutex, PoisonError},
    time::Instant,
};

/// What was not told yet.
#[derive(Debug, Default)]
pub(crate) struct Digest(Mutex<Untold>);

#[derive(Debug, Default)]
struct Untold {
    /// By labels of a closed set.
    counts: BTreeMap<&'static str, u64>,
    told: Option<Instant>,
}

impl Digest {
    /// One more; what is to be told now, if it is time: `crowded 12, slow 3`.
    pub(crate) fn note(&self, label: &'static str, now: Instant) -> Option<String> {
        let mut untold = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *untold.counts.entry(label).or_default() += 1;
        let due = untold.told.is_none_or(|told| now.saturating_duration_since(told) >= DIGEST_PAUSE);
        due.then(|| untold.tell(now))
    }
}

impl Untold {
    fn tell(&mut self, now: Instant) -> String {
        self.told = Some(now);
        std::mem::take(&mut self.counts).into_iter().fold(String::new(), |mut text, (label, count)| {
            let comma = if text.is_empty() { "" } else { ", " };
            // Writing to a string does not fail.
            let _ = write!(text, "{comma}{label} {count}");
            text
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_flood_is_few_lines_and_loses_no_number() {
        let (digest, now) = (Digest::default(), Instant::now());
        assert_eq!(digest.note("slow", now).as_deref(), Some("slow 1"));
        let lines = (0..1000).filter_map(|n| digest.note("crowded", now + Duration::from_millis(n)));
        assert_eq!(lines.count(), 0);
        assert_eq!(digest.note("slow", now + DIGEST_PAUSE).as_deref(), Some("crowded 1000, slow 1"));
        assert_eq!(digest.note("slow", now + DIGEST_PAUSE), None);
    }
}

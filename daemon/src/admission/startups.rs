//! Random early drop, as sshd's `MaxStartups` (sshd_config(5)): the fuller it is, the likelier a newcomer is turned away.

use std::str::FromStr;

/// Written `START:RATE:FULL`: from `start` waiting connections on, `rate` per cent of new ones are turned away, ever more
/// until at `full` all are. A number alone is where all are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Startups {
    start: usize,
    rate: usize,
    full: usize,
}

impl Startups {
    /// Never more than this wait at a time.
    pub const fn full(self) -> usize {
        self.full
    }

    /// Whether one more is turned away while `waiting` wait; `chance` is evenly of 0 up to 1.
    pub(super) fn drops(self, waiting: usize, chance: f64) -> bool {
        if waiting >= self.full {
            return true;
        }
        // Never empty, since `waiting` is less than `full`.
        let span = self.full - self.start.min(waiting);
        let past = waiting.checked_sub(self.start);
        past.is_some_and(|past| chance * 100.0 < self.rate as f64 + ((100 - self.rate) * past) as f64 / span as f64)
    }
}

impl FromStr for Startups {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fault = "START:RATE:FULL as in 1000:30:3000 (RATE is 1 to 100 per cent), or one number";
        let numbers: Result<Vec<usize>, _> = text.split(':').map(str::parse).collect();
        let startups = match numbers.map_err(|_| fault)?[..] {
            [full] => Self { start: full, rate: 100, full },
            [start, rate, full] => Self { start, rate, full },
            _ => return Err(fault),
        };
        let good = (1..=100).contains(&startups.rate) && startups.full > 0 && startups.start <= startups.full;
        if good { Ok(startups) } else { Err(fault) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fuller_the_likelier() {
        let startups: Startups = "10:30:100".parse().unwrap();
        let part = |waiting| (0..1000).filter(|n| startups.drops(waiting, f64::from(*n) / 1000.0)).count();
        assert_eq!((part(0), part(9), part(10), part(55), part(100), part(5000)), (0, 0, 300, 650, 1000, 1000));
        assert!((10..100).all(|waiting| part(waiting) <= part(waiting + 1)));
    }

    #[test]
    fn one_number_is_a_wall() {
        let startups: Startups = "3".parse().unwrap();
        assert!(!startups.drops(2, 0.0) && startups.drops(3, 0.999));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["", "a", "1:2", "1:2:3:4", "5:30:4", "1:0:4", "1:101:4", "0", "-1:30:4", "1:30:99999999999999999999999"] {
            assert!(bad.parse::<Startups>().is_err(), "{bad}");
        }
    }
}

//! Which requests on open files may run beside one another: a pure table, without threads.
//!
//! The draft asks (section 6.1) that requests on one file have the results they would have one after the other. So all
//! requests on a file are in one lane, whatever handle they use, and what is done by path is done alone.

use super::{file::FileId, limits};
use std::collections::HashMap;

/// Who is in which lane.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    files: HashMap<FileId, Busy>,
    /// Requests in each lane.
    loads: [usize; limits::LANES],
}

/// A file with requests under way.
#[derive(Clone, Copy, Debug)]
struct Busy {
    lane: usize,
    requests: usize,
}

/// The files of one request: one, or two for a copy.
pub(super) type Files = (FileId, Option<FileId>);

impl Lanes {
    /// The lane for a request on `files`; `None` if it has to wait until another one is done.
    pub(super) fn enter(&mut self, files: Files) -> Option<usize> {
        if self.loads.iter().sum::<usize>() >= limits::IN_FLIGHT {
            return None;
        }
        let lane_of = |file| self.files.get(&file).map(|busy| busy.lane);
        let lane = match (lane_of(files.0), files.1.and_then(lane_of)) {
            (Some(one), Some(other)) if one != other => return None,
            (Some(lane), _) | (None, Some(lane)) => lane,
            (None, None) => self.emptiest(),
        };
        *self.loads.get_mut(lane)? += 1;
        for file in each(files) {
            self.files.entry(file).or_insert(Busy { lane, requests: 0 }).requests += 1;
        }
        Some(lane)
    }

    /// A request on `files` is done.
    pub(super) fn leave(&mut self, lane: usize, files: Files) {
        if let Some(load) = self.loads.get_mut(lane) {
            *load = load.saturating_sub(1);
        }
        for file in each(files) {
            let Some(busy) = self.files.get_mut(&file) else { continue };
            busy.requests = busy.requests.saturating_sub(1);
            if busy.requests == 0 {
                self.files.remove(&file);
            }
        }
    }

    /// Whether nothing is under way.
    pub(super) fn are_empty(&self) -> bool {
        self.files.is_empty()
    }

    fn emptiest(&self) -> usize {
        self.loads.iter().enumerate().min_by_key(|&(_, load)| load).map_or(0, |(lane, _)| lane)
    }
}

fn each((one, other): Files) -> impl Iterator<Item = FileId> {
    std::iter::once(one).chain(other.filter(|other| *other != one))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(n: u64) -> Files {
        ((0, n), None)
    }

    #[test]
    fn a_file_stays_in_its_lane_while_it_is_busy() {
        let mut lanes = Lanes::default();
        let first = lanes.enter(file(1)).unwrap();
        assert_eq!(lanes.enter(file(1)), Some(first));
        let second = lanes.enter(file(2)).unwrap();
        assert_ne!(first, second);
        lanes.leave(first, file(1));
        assert_eq!(lanes.enter(file(1)), Some(first));
    }

    #[test]
    fn files_share_the_emptiest_lane_when_there_are_more_than_lanes() {
        let mut lanes = Lanes::default();
        for n in 0..limits::LANES as u64 {
            lanes.enter(file(n)).unwrap();
            lanes.enter(file(n)).unwrap();
        }
        lanes.leave(2, file(2));
        assert_eq!(lanes.enter(file(99)), Some(2));
    }

    #[test]
    fn a_copy_waits_until_its_files_are_in_one_lane() {
        let mut lanes = Lanes::default();
        let (one, two) = (lanes.enter(file(1)).unwrap(), lanes.enter(file(2)).unwrap());
        let copy = ((0, 1), Some((0, 2)));
        assert_eq!(lanes.enter(copy), None);
        lanes.leave(one, file(1));
        assert_eq!(lanes.enter(copy), Some(two));
        assert_eq!(lanes.enter(file(1)), Some(two));
    }

    #[test]
    fn requests_in_flight_are_bounded() {
        let mut lanes = Lanes::default();
        for _ in 0..limits::IN_FLIGHT {
            lanes.enter(file(1)).unwrap();
        }
        assert_eq!((lanes.enter(file(1)), lanes.enter(file(2))), (None, None));
        lanes.leave(0, file(1));
        assert!(lanes.enter(file(2)).is_some());
    }

    #[test]
    fn they_are_empty_when_all_have_left() {
        let mut lanes = Lanes::default();
        let copy = ((0, 1), Some((0, 1)));
        assert!(lanes.are_empty());
        let lane = lanes.enter(copy).unwrap();
        assert!(!lanes.are_empty());
        lanes.leave(lane, copy);
        assert!(lanes.are_empty());
    }
}

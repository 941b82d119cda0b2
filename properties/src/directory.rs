//! The directory of daemons: only an ordered list opens, and what opened can be built again.

use drawbridge_shared::snapshot::directory::{DaemonEntry, build, open};

/// `data` as a directory.
pub fn check(data: &[u8]) -> bool {
    let read = serde_json::from_slice::<Vec<DaemonEntry>>(data).ok();
    let ordered = read.filter(|all| all.windows(2).all(|pair| pair[0].id < pair[1].id));
    let opened = open(data);
    assert_eq!(opened, ordered);
    opened.is_some_and(|all| {
        let shuffled: Vec<_> = all.iter().rev().cloned().collect();
        assert_eq!(open(&build(shuffled)), Some(all));
        true
    })
}

//! Key shards: only sorted, undoubled rows of the right shard open, and searching them finds what reading them finds.

use drawbridge_shared::{
    fingerprint::Fingerprint,
    snapshot::key_shard::{KeyShard, ROW, UserHash, build},
    time::Timestamp,
};

type Row = [u8; ROW];
const FINGERPRINT: usize = 32;
const NAME: usize = ROW - 8;
/// Rows asked about one by one: the rest would only cost time.
const ASKED: usize = 32;

/// `data` as a shard whose number is its first byte, and as rows to build one of.
pub fn check(data: &[u8]) -> bool {
    let Some(id) = data.first().copied() else { return false };
    let built = arranged(id, data);
    let bytes = build(built.clone());
    let shard = KeyShard::open(id, bytes.as_slice()).expect("what was built opens");
    assert_eq!(bytes, built.concat(), "building moves nothing that is in order");
    searched(&shard, &built);
    differences(&shard, &built);
    as_it_is(id, data)
}

/// Opens exactly what the format says, and nothing that was tampered with.
fn as_it_is(id: u8, data: &[u8]) -> bool {
    let (rows, rest) = data.as_chunks::<ROW>();
    let ascending = rows.windows(2).all(|pair| pair[0][..NAME] < pair[1][..NAME]);
    let expected = rest.is_empty() && ascending && rows.iter().all(|row| row[0] == id);
    let shard = KeyShard::open(id, data);
    assert_eq!(shard.is_some(), expected);
    if let Some(shard) = &shard {
        searched(shard, rows);
        assert!(KeyShard::open(id.wrapping_add(1), data).is_none());
        assert!(KeyShard::open(id, &data[..data.len() - 1]).is_none());
        assert!(KeyShard::open(id, [data, data].concat()).is_none());
    }
    expected
}

/// Rows of shard `id` in order, each name once.
fn arranged(id: u8, data: &[u8]) -> Vec<Row> {
    let mut rows = data.as_chunks::<ROW>().0.to_vec();
    rows.iter_mut().for_each(|row| row[0] = id);
    rows.sort_unstable();
    rows.dedup_by(|next, kept| next[..NAME] == kept[..NAME]);
    rows
}

fn searched<B: AsRef<[u8]>>(shard: &KeyShard<B>, rows: &[Row]) {
    assert_eq!((shard.len(), shard.is_empty()), (rows.len(), rows.is_empty()));
    assert!(shard.all_users().eq(rows.iter().map(user)));
    for row in rows.iter().take(ASKED) {
        let end = end(row);
        for fingerprint in [fingerprint(row), neighbour(row, 1), neighbour(row, u8::MAX)] {
            for at in [0, end.saturating_sub(1), end, end.saturating_add(1)] {
                agrees(shard, rows, &fingerprint, Timestamp::from_unix(at));
            }
        }
    }
}

/// A search and a linear scan say the same.
fn agrees<B: AsRef<[u8]>>(shard: &KeyShard<B>, rows: &[Row], wanted: &Fingerprint, now: Timestamp) {
    let valid = rows.iter().filter(|row| fingerprint(row) == *wanted && end(row) >= now.as_unix());
    assert!(shard.users(wanted, now).eq(valid.map(user)), "{wanted} at {now}");
}

/// Every row that was taken out is told of, and no other.
fn differences(shard: &KeyShard<&[u8]>, rows: &[Row]) {
    let kept: Vec<_> = rows.iter().enumerate().filter(|(at, _)| at % 3 != 0).map(|(_, row)| *row).collect();
    let gone = rows.iter().step_by(3).map(user);
    let kept = build(kept);
    let other = KeyShard::open(rows.first().map_or(0, |row| row[0]), kept.as_slice()).expect("fewer rows are still in order");
    assert!(shard.changed_users(&other).eq(gone.clone()));
    assert!(other.changed_users(shard).eq(gone));
    assert_eq!(shard.changed_users(shard).count(), 0);
}

fn fingerprint(row: &Row) -> Fingerprint {
    Fingerprint(std::array::from_fn(|i| row[i]))
}

/// The fingerprint beside it.
fn neighbour(row: &Row, by: u8) -> Fingerprint {
    Fingerprint(std::array::from_fn(|i| if i == FINGERPRINT - 1 { row[i].wrapping_add(by) } else { row[i] }))
}

fn user(row: &Row) -> UserHash {
    UserHash(std::array::from_fn(|i| row[FINGERPRINT + i]))
}

fn end(row: &Row) -> u64 {
    u64::from_be_bytes(std::array::from_fn(|i| row[NAME + i]))
}

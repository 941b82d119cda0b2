//! Shards of family `k`: sorted rows of 56 bytes, searched where they lie.
//!
//! A row is fingerprint (32 bytes), the first 16 bytes of SHA-256 of the user id, and not-after
//! (seconds since the epoch, big-endian u64; all ones: for ever). Rows ascend; none is doubled.

use crate::{fingerprint::Fingerprint, id::UserId, time::Timestamp};
use sha2::{Digest, Sha256};

/// Bytes in a row.
pub const ROW: usize = FINGERPRINT + USER + 8;
const FINGERPRINT: usize = 32;
const USER: usize = 16;

/// The first 16 bytes of SHA-256 of a user id: what a row carries instead of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserHash(pub [u8; USER]);

impl UserHash {
    /// The hash of `user`.
    pub fn of(user: &UserId) -> Self {
        let digest = Sha256::digest(user.as_str().as_bytes());
        Self(std::array::from_fn(|i| digest.get(i).copied().unwrap_or_default()))
    }
}

/// Which shard a key is in.
pub const fn shard_of(fingerprint: &Fingerprint) -> u8 {
    fingerprint.0[0]
}

/// One row as bytes.
pub fn row(fingerprint: &Fingerprint, user: &UserId, not_after: Option<Timestamp>) -> [u8; ROW] {
    let user = UserHash::of(user);
    let end = not_after.map_or(u64::MAX, Timestamp::as_unix).to_be_bytes();
    let mut row = [0; ROW];
    let parts = fingerprint.0.iter().chain(&user.0).chain(&end);
    row.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
    row
}

/// The shard that `rows` make, in any order.
pub fn build(mut rows: Vec<[u8; ROW]>) -> Vec<u8> {
    rows.sort_unstable();
    rows.concat()
}

/// A verified shard over any bytes.
#[derive(Clone, Debug)]
pub struct KeyShard<B>(B);

impl<B: AsRef<[u8]>> KeyShard<B> {
    /// Takes `bytes` if they are rows of shard `id` in strictly ascending order.
    pub fn open(id: u8, bytes: B) -> Option<Self> {
        let (rows, rest) = bytes.as_ref().as_chunks::<ROW>();
        let ordered = rows.is_sorted_by(|a, b| a[..FINGERPRINT + USER] < b[..FINGERPRINT + USER]);
        let here = rows.iter().all(|row| row[0] == id);
        (rest.is_empty() && ordered && here).then_some(Self(bytes))
    }

    /// The users whose key this is at `now`: usually one, sometimes several, often none.
    pub fn users<'a>(&'a self, fingerprint: &Fingerprint, now: Timestamp) -> impl Iterator<Item = UserHash> + use<'a, B> {
        self.found(fingerprint).filter(move |row| end_of(row) >= now.as_unix()).map(user_of)
    }

    /// All whose key this is or was until it ended, with its last second; `None`: for ever.
    pub fn owners<'a>(&'a self, fingerprint: &Fingerprint) -> impl Iterator<Item = (UserHash, Option<Timestamp>)> + use<'a, B> {
        let end = |row| Some(end_of(row)).filter(|end| *end != u64::MAX).map(Timestamp::from_unix);
        self.found(fingerprint).map(move |row| (user_of(row), end(row)))
    }

    fn found<'a>(&'a self, fingerprint: &Fingerprint) -> impl Iterator<Item = &'a [u8; ROW]> + use<'a, B> {
        let wanted = fingerprint.0;
        let rows = self.rows();
        let start = start_of(rows, &wanted);
        rows.iter().skip(start).take_while(move |row| row[..FINGERPRINT] == wanted[..])
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows().is_empty()
    }

    /// The users of every row that only one of both shards has.
    pub fn changed_users<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = UserHash> + 'a {
        Differing { here: self.rows(), there: other.rows() }.map(user_of)
    }

    /// The users of all rows.
    pub fn all_users(&self) -> impl Iterator<Item = UserHash> + '_ {
        self.rows().iter().map(user_of)
    }

    fn rows(&self) -> &[[u8; ROW]] {
        self.0.as_ref().as_chunks().0
    }
}

/// Walks two ascending lists side by side and stops at the rows that only one of them has.
struct Differing<'a> {
    here: &'a [[u8; ROW]],
    there: &'a [[u8; ROW]],
}

impl<'a> Iterator for Differing<'a> {
    type Item = &'a [u8; ROW];

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match (self.here.split_first(), self.there.split_first()) {
                (Some((a, here)), Some((b, there))) if a == b => (self.here, self.there) = (here, there),
                (Some((a, _)), Some((b, there))) if b < a => {
                    self.there = there;
                    return Some(b);
                }
                (Some((a, here)), _) => {
                    self.here = here;
                    return Some(a);
                }
                (None, Some((b, there))) => {
                    self.there = there;
                    return Some(b);
                }
                (None, None) => return None,
            }
        }
    }
}

/// Where the rows of `wanted` begin, or would. Fingerprints lie evenly, so that a guess, put right twice, is a few rows
/// away: two or three reads of memory instead of a dozen. Uneven ones, if somebody made them, cost a binary search.
fn start_of(rows: &[[u8; ROW]], wanted: &[u8; FINGERPRINT]) -> usize {
    let target = place_of(wanted);
    let mut guess = shift(target, rows.len());
    for _ in 0..2 {
        let Some(row) = rows.get(clamp(guess, rows.len())) else { return 0 };
        guess = clamp(guess, rows.len()) as i64 + shift(target - place_of(row), rows.len());
    }
    let (low, high) = bracket(rows, clamp(guess, rows.len()), wanted);
    low + rows[low..high].partition_point(|row| row[..FINGERPRINT] < wanted[..])
}

/// Where a fingerprint lies among all of its shard, as a 32-bit fraction; its first byte is the shard's number.
fn place_of(bytes: &[u8]) -> i64 {
    bytes.get(1..5).and_then(<[u8]>::first_chunk).map_or(0, |start| u32::from_be_bytes(*start).into())
}

/// How many of `count` even rows lie between two places.
const fn shift(places: i64, count: usize) -> i64 {
    places.saturating_mul(count as i64) >> 32
}

fn clamp(guess: i64, count: usize) -> usize {
    usize::try_from(guess).unwrap_or(0).min(count.saturating_sub(1))
}

/// A range that the first row not below `wanted` is in or right behind, found in doubling steps from `guess`.
fn bracket(rows: &[[u8; ROW]], guess: usize, wanted: &[u8; FINGERPRINT]) -> (usize, usize) {
    let below = |at: usize| rows.get(at).is_some_and(|row| row[..FINGERPRINT] < wanted[..]);
    let mut step = 1;
    if below(guess) {
        let mut low = guess;
        while below(low + step) {
            low += step;
            step *= 2;
        }
        return (low + 1, (low + step).min(rows.len()));
    }
    let mut high = guess;
    while high > 0 && !below(high.saturating_sub(step)) {
        high = high.saturating_sub(step);
        step *= 2;
    }
    (high.saturating_sub(step), high)
}

fn user_of(row: &[u8; ROW]) -> UserHash {
    UserHash(std::array::from_fn(|i| row[FINGERPRINT + i]))
}

fn end_of(row: &[u8; ROW]) -> u64 {
    u64::from_be_bytes(std::array::from_fn(|i| row[FINGERPRINT + USER + i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

    fn fingerprint(second: u8) -> Fingerprint {
        Fingerprint(std::array::from_fn(|i| if i == 1 { second } else { 5 }))
    }

    fn user(name: &str) -> UserId {
        name.parse().unwrap()
    }

    #[test]
    fn a_key_is_found_with_all_its_users() {
        let rows = vec![
            row(&fingerprint(3), &user("bob"), None),
            row(&fingerprint(1), &user("alice"), None),
            row(&fingerprint(3), &user("alice"), Some(NOW)),
            row(&fingerprint(3), &user("carol"), Some(Timestamp::from_unix(1))),
        ];
        let shard = KeyShard::open(5, build(rows)).unwrap();
        let mut users: Vec<_> = shard.users(&fingerprint(3), NOW).collect();
        users.sort_unstable();
        let mut expected = vec![UserHash::of(&user("alice")), UserHash::of(&user("bob"))];
        expected.sort_unstable();
        assert_eq!(users, expected);
        assert_eq!(shard.users(&fingerprint(2), NOW).count(), 0);
        let mut ends: Vec<_> = shard.owners(&fingerprint(3)).map(|(_, end)| end).collect();
        ends.sort_unstable();
        assert_eq!(ends, [None, Some(Timestamp::from_unix(1)), Some(NOW)]);
        assert_eq!(shard.len(), 4);
    }

    #[test]
    fn every_key_is_found_however_the_fingerprints_lie() {
        let spread = |n: u64| Sha256::digest(n.to_be_bytes()).into();
        let crowded = |n: u64| std::array::from_fn(|i| if i < 24 { 5 } else { n.to_be_bytes()[i - 24] });
        let ends = |n: u64| {
            std::array::from_fn(|i| if n.is_multiple_of(2) { (n / 2).to_be_bytes()[i % 8] } else { u8::MAX - (n / 2) as u8 })
        };
        let layouts: [&dyn Fn(u64) -> [u8; 32]; 3] = [&spread, &crowded, &ends];
        for layout in layouts {
            for count in [0, 1, 2, 3, 100, 500] {
                let all: Vec<_> = (0..count)
                    .map(layout)
                    .map(|mut bytes: [u8; 32]| {
                        bytes[0] = 5;
                        Fingerprint(bytes)
                    })
                    .collect();
                let rows: std::collections::BTreeSet<_> = all.iter().map(|key| row(key, &user("alice"), None)).collect();
                let rows: Vec<_> = rows.into_iter().collect();
                for key in all.iter().copied().chain([Fingerprint([5; 32]), Fingerprint([0; 32]), Fingerprint([255; 32])]) {
                    let expected = rows.partition_point(|row| row[..FINGERPRINT] < key.0[..]);
                    assert_eq!(start_of(&rows, &key.0), expected, "{key} of {count}");
                }
            }
        }
    }

    #[test]
    fn a_changed_row_names_its_user() {
        let (one, two) = (row(&fingerprint(1), &user("alice"), None), row(&fingerprint(2), &user("bob"), None));
        let later = row(&fingerprint(2), &user("bob"), Some(NOW));
        let shard = |rows: &[[u8; ROW]]| KeyShard::open(5, rows.concat()).unwrap();
        let changed = |a: &[[u8; ROW]], b: &[[u8; ROW]]| shard(a).changed_users(&shard(b)).collect::<Vec<_>>();
        let bob = UserHash::of(&user("bob"));
        assert_eq!(changed(&[one, two], &[one, two]), []);
        assert_eq!(changed(&[one, two], &[one]), [bob]);
        assert_eq!(changed(&[one], &[one, two]), [bob]);
        assert_eq!(changed(&[one, two], &[one, later]), [bob, bob]);
    }

    #[test]
    fn broken_shards_do_not_open() {
        let one = row(&fingerprint(1), &user("alice"), None);
        let two = row(&fingerprint(2), &user("alice"), None);
        assert!(KeyShard::open(5, [one, two].concat()).is_some());
        assert!(KeyShard::open(5, [two, one].concat()).is_none(), "unsorted");
        assert!(KeyShard::open(5, [one, one].concat()).is_none(), "doubled");
        assert!(KeyShard::open(6, one.to_vec()).is_none(), "another shard's");
        assert!(KeyShard::open(5, one[..ROW - 1].to_vec()).is_none(), "cut");
    }
}

//! Why a grant that let somebody in is one no longer: words and label alike at daemon and agent.

use crate::time::Timestamp;
use std::fmt;

/// What became of a key, or of its owner's membership. Each verifier says what its own signed state shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Revocation {
    /// The key is no longer its owner's.
    Removed,
    /// The key's own time is over.
    Expired,
    /// The key is good, its owner is no member: removed, or the workspace is gone.
    Left,
    /// Nothing of that owner's is left in the list: no member any more, or it was their only key.
    Gone,
}

/// How long what lives may go on by what is known now: its last second, or `None` until there is other news.
pub type Stay = Result<Option<Timestamp>, Revocation>;

/// The longest of `ends`, one for each grant of a key, `None` for ever: a key that several have is good as long as one of them has it.
pub fn longest(ends: impl Iterator<Item = Option<Timestamp>>, now: Timestamp) -> Stay {
    // For ever is longer than any end.
    let ends = ends.map(|end| end.map_or(u64::MAX, Timestamp::as_unix));
    match ends.max().ok_or(Revocation::Removed)? {
        u64::MAX => Ok(None),
        end if end < now.as_unix() => Err(Revocation::Expired),
        end => Ok(Some(Timestamp::from_unix(end))),
    }
}

impl Revocation {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Removed, Self::Expired, Self::Left, Self::Gone];

    /// What is told at `now` of a key whose last second was to be `last`: newer state no longer names what has ended.
    #[must_use]
    pub fn of_key_until(self, last: Option<Timestamp>, now: Timestamp) -> Self {
        // The edge takes a key out as its last second begins.
        let over = last.is_some_and(|last| last <= now);
        if over && matches!(self, Self::Removed | Self::Gone) { Self::Expired } else { self }
    }

    /// Its name in logs, metrics and the audit trail.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Removed => "key-removed",
            Self::Expired => "key-expired",
            Self::Left => "no-member",
            Self::Gone => "grant-gone",
        }
    }
}

impl fmt::Display for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Removed => "the key of this connection was removed",
            Self::Expired => "the key of this connection has expired",
            Self::Left => "you are no longer a member of this workspace, or it was deleted",
            Self::Gone => "the key of this connection was removed, or you are no longer a member of this workspace",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_key_whose_end_has_passed_has_expired_whatever_state_still_names() {
        let [end, later] = [9, 10].map(Timestamp::from_unix);
        assert_eq!(Revocation::Gone.of_key_until(Some(end), later), Revocation::Expired);
        assert_eq!(Revocation::Gone.of_key_until(Some(later), later), Revocation::Expired);
        assert_eq!(Revocation::Gone.of_key_until(Some(later), end), Revocation::Gone);
        assert_eq!(Revocation::Removed.of_key_until(None, later), Revocation::Removed);
        assert_eq!(Revocation::Left.of_key_until(Some(end), later), Revocation::Left);
    }

    #[test]
    fn a_key_of_several_lasts_as_long_as_the_longest_grant() {
        let [end, later] = [9, 10].map(Timestamp::from_unix);
        assert_eq!(longest([Some(end), Some(later)].into_iter(), later), Ok(Some(later)));
        assert_eq!(longest([None, Some(end)].into_iter(), later), Ok(None));
        assert_eq!(longest([Some(end)].into_iter(), later), Err(Revocation::Expired));
        assert_eq!(longest([].into_iter(), end), Err(Revocation::Removed));
    }

    #[test]
    fn each_has_its_own_name_and_words() {
        let told: BTreeSet<_> = Revocation::ALL.iter().flat_map(|one| [one.label().to_owned(), one.to_string()]).collect();
        assert_eq!(told.len(), 2 * Revocation::ALL.len());
    }
}

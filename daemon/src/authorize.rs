//! The whole policy, pure: who may log in, into which workspace, and how long.

use crate::{denial::Denial, keyset::KeySet};
use drawbridge_shared::{
    fingerprint::Fingerprint,
    id::{UserId, WorkspaceId},
    revocation::{Revocation, Stay},
    snapshot::key_shard::UserHash,
    time::Timestamp,
};
use std::time::Duration;

/// One decision's circumstances.
#[derive(Clone, Copy, Debug)]
pub struct Gate<'a> {
    /// What is known.
    pub keys: &'a KeySet,
    /// When.
    pub now: Timestamp,
    /// How long past its end a snapshot still decides.
    pub grace: Duration,
}

impl Gate<'_> {
    /// Whether anybody may log in at all.
    pub fn serves(&self) -> Result<(), Denial> {
        self.keys.serves(self.now, self.grace).then_some(()).ok_or(Denial::Stale)
    }

    /// Whether this key may log in. Whose it is, is decided with the workspace.
    pub fn knows(&self, key: &Fingerprint) -> Result<(), Denial> {
        self.serves()?;
        self.keys.users(key, self.now).next().map(drop).ok_or(Denial::UnknownKey)
    }

    /// The member of `workspace` whose key this is: of all users of the key, any one that is a member.
    pub fn enter(&self, key: &Fingerprint, workspace: &WorkspaceId) -> Result<UserId, Denial> {
        self.serves()?;
        self.member(key, workspace)
    }

    /// How long a connection may go on: as long as its key is anybody's, however old the news.
    pub fn stays(&self, key: &Fingerprint) -> Stay {
        self.longest(self.keys.owners(key))
    }

    /// How long the bridge of exactly this user, key and workspace may go on, however old the news.
    pub fn stays_inside(&self, key: &Fingerprint, user: &UserId, workspace: &WorkspaceId) -> Stay {
        let user = UserHash::of(user);
        let end = self.longest(self.keys.owners(key).filter(|(owner, _)| *owner == user))?;
        self.keys.member(workspace, &[user]).map(|_| end).ok_or(Revocation::Left)
    }

    fn longest(&self, owners: impl Iterator<Item = (UserHash, Option<Timestamp>)>) -> Stay {
        // For ever is longer than any end.
        let ends = owners.map(|(_, end)| end.map_or(u64::MAX, Timestamp::as_unix));
        match ends.max().ok_or(Revocation::Removed)? {
            u64::MAX => Ok(None),
            end if end < self.now.as_unix() => Err(Revocation::Expired),
            end => Ok(Some(Timestamp::from_unix(end))),
        }
    }

    fn member(&self, key: &Fingerprint, workspace: &WorkspaceId) -> Result<UserId, Denial> {
        let users: Vec<_> = self.keys.users(key, self.now).collect();
        self.keys.member(workspace, &users).ok_or_else(|| Denial::NoAccess(workspace.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyset::tests::{NOW, expiring, fingerprint, keyset};
    use drawbridge_shared::snapshot::LIFETIME;

    fn gate(keys: &KeySet) -> Gate<'_> {
        Gate { keys, now: NOW, grace: Duration::ZERO }
    }

    #[test]
    fn members_enter_and_nobody_else() {
        let keys = keyset(&[(1, "alice"), (2, "bob")], &[("796636", &["alice", "carol"])]);
        let (known, unknown) = ("796636".parse().unwrap(), "lighthouse".parse().unwrap());
        assert_eq!(gate(&keys).enter(&fingerprint(1), &known).unwrap().as_str(), "alice");
        assert_eq!(gate(&keys).enter(&fingerprint(2), &known), Err(Denial::NoAccess(known.clone())));
        assert_eq!(gate(&keys).enter(&fingerprint(3), &known), Err(Denial::NoAccess(known)));
        assert_eq!(gate(&keys).enter(&fingerprint(1), &unknown), Err(Denial::NoAccess(unknown)));
    }

    #[test]
    fn a_key_ends_by_itself_at_the_door_and_inside() {
        let keys = expiring(1, "alice", NOW, "796636");
        let workspace = "796636".parse().unwrap();
        let at = |seconds| Gate { now: NOW.after(Duration::from_secs(seconds)), ..gate(&keys) };
        assert!(at(0).knows(&fingerprint(1)).is_ok() && at(0).enter(&fingerprint(1), &workspace).is_ok());
        assert_eq!(at(1).knows(&fingerprint(1)), Err(Denial::UnknownKey));
        assert_eq!(at(1).enter(&fingerprint(1), &workspace), Err(Denial::NoAccess(workspace.clone())));
        let alice = "alice".parse().unwrap();
        let inside = |seconds| at(seconds).stays_inside(&fingerprint(1), &alice, &workspace);
        assert_eq!((at(0).stays(&fingerprint(1)), inside(0)), (Ok(Some(NOW)), Ok(Some(NOW))));
        assert_eq!((at(1).stays(&fingerprint(1)), inside(1)), (Err(Revocation::Expired), Err(Revocation::Expired)));
    }

    #[test]
    fn what_is_taken_away_is_taken_from_exactly_that_grant() {
        let keys = keyset(&[(1, "alice"), (2, "bob")], &[("1", &["alice", "bob"]), ("2", &["bob"])]);
        let stays =
            |key, user: &str, id: &str| gate(&keys).stays_inside(&fingerprint(key), &user.parse().unwrap(), &id.parse().unwrap());
        assert_eq!((stays(1, "alice", "1"), stays(2, "bob", "2")), (Ok(None), Ok(None)));
        assert_eq!(stays(2, "alice", "1"), Err(Revocation::Removed), "the key is somebody else's by now");
        assert_eq!(stays(3, "alice", "1"), Err(Revocation::Removed));
        assert_eq!(stays(1, "alice", "2"), Err(Revocation::Left));
        assert_eq!(stays(1, "alice", "9"), Err(Revocation::Left), "the workspace was deleted");
        assert_eq!(
            (gate(&keys).stays(&fingerprint(1)), gate(&keys).stays(&fingerprint(3))),
            (Ok(None), Err(Revocation::Removed))
        );
    }

    #[test]
    fn a_stale_snapshot_lets_nobody_in() {
        let keys = keyset(&[(1, "alice")], &[("796636", &["alice"])]);
        let late = Gate { now: NOW.after(LIFETIME + Duration::from_secs(1)), ..gate(&keys) };
        assert_eq!(gate(&keys).knows(&fingerprint(1)), Ok(()));
        for key in [1, 2] {
            assert_eq!(late.knows(&fingerprint(key)), Err(Denial::Stale), "known or not");
        }
        assert_eq!(Gate { keys: &KeySet::default(), ..late }.knows(&fingerprint(1)), Err(Denial::Stale));
        assert_eq!(late.enter(&fingerprint(1), &"796636".parse().unwrap()), Err(Denial::Stale));
        let inside = late.stays_inside(&fingerprint(1), &"alice".parse().unwrap(), &"796636".parse().unwrap());
        assert_eq!((late.stays(&fingerprint(1)), inside), (Ok(None), Ok(None)), "what lives, lives on");
    }
}

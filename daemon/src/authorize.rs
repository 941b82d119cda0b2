//! The whole policy, pure: who may log in, into which workspace, and how long.

use crate::{denial::Denial, keyset::KeySet};
use drawbridge_shared::{
    fingerprint::Fingerprint,
    id::{UserId, WorkspaceId},
    revocation::{Revocation, Stay, longest},
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
        longest(self.keys.owners(key).map(|(_, end)| end), self.now)
    }

    /// How long the bridge of this key to this workspace may go on, however old the news: as long as the key is any member's. Of two who
    /// have it, neither can end what the other may begin anew. Where it is no member's, the words are for `user`, who was entered.
    pub fn stays_inside(&self, key: &Fingerprint, user: &UserId, workspace: &WorkspaceId) -> Stay {
        let owners = || self.keys.owners(key);
        let members = owners().filter(|(owner, _)| self.keys.member(workspace, &[*owner]).is_some());
        match longest(members.map(|(_, end)| end), self.now) {
            Err(Revocation::Removed) if owners().any(|(owner, _)| owner == UserHash::of(user)) => Err(Revocation::Left),
            stay => stay,
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
    use crate::keyset::tests::{NOW, expiring, fingerprint, keyset, with_owners};
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
    fn what_is_taken_away_is_taken_from_exactly_that_key_and_workspace() {
        let keys = keyset(&[(1, "alice"), (2, "bob")], &[("1", &["alice", "bob"]), ("2", &["bob"])]);
        let stays =
            |key, user: &str, id: &str| gate(&keys).stays_inside(&fingerprint(key), &user.parse().unwrap(), &id.parse().unwrap());
        assert_eq!((stays(1, "alice", "1"), stays(2, "bob", "2")), (Ok(None), Ok(None)));
        assert_eq!(stays(2, "alice", "1"), Ok(None), "the key is another member's by now");
        assert_eq!(stays(1, "bob", "2"), Err(Revocation::Removed), "the key is somebody else's by now");
        assert_eq!(stays(3, "alice", "1"), Err(Revocation::Removed));
        assert_eq!(stays(1, "alice", "2"), Err(Revocation::Left));
        assert_eq!(stays(1, "alice", "9"), Err(Revocation::Left), "the workspace was deleted");
        assert_eq!(
            (gate(&keys).stays(&fingerprint(1)), gate(&keys).stays(&fingerprint(3))),
            (Ok(None), Err(Revocation::Removed))
        );
    }

    /// Whoever of both it is that the login was taken for.
    #[test]
    fn what_a_colleague_says_of_a_key_ends_nothing_of_its_owners() {
        let base = keyset(&[], &[("1", &["alice", "mallory"]), ("2", &["mallory"])]);
        let later = Gate { now: NOW.after(Duration::from_secs(1)), ..gate(&base) };
        for (owner, colleague) in [("alice", "mallory"), ("mallory", "alice")] {
            let expiring = with_owners(&base, 1, &[(owner, None), (colleague, Some(NOW))]);
            let stays = |keys: &KeySet, id: &str| {
                let entered = colleague.parse().unwrap();
                Gate { keys, ..later }.stays_inside(&fingerprint(1), &entered, &id.parse().unwrap())
            };
            assert_eq!(stays(&expiring, "1"), Ok(None), "the other one's has expired");
            assert_eq!(stays(&with_owners(&base, 1, &[(owner, None)]), "1"), Ok(None), "the other one has deleted it");
            assert_eq!(stays(&with_owners(&base, 1, &[(owner, Some(NOW))]), "1"), Err(Revocation::Expired));
        }
        let alices = with_owners(&base, 1, &[("alice", None)]);
        let inside =
            Gate { keys: &alices, ..later }.stays_inside(&fingerprint(1), &"mallory".parse().unwrap(), &"2".parse().unwrap());
        assert_eq!(inside, Err(Revocation::Removed), "whose it is by now is no member there");
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

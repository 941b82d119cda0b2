//! The whole policy, pure: who may log in, and into which workspace.

use crate::{denial::Denial, keyset::KeySet};
use drawbridge_shared::{
    fingerprint::Fingerprint,
    id::{UserId, WorkspaceId},
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
    /// Whether this key may log in. Whose it is, is decided with the workspace.
    pub fn knows(&self, key: &Fingerprint) -> bool {
        self.keys.serves(self.now, self.grace) && self.holds(key)
    }

    /// Whether this key is anybody's, however old the news: what keeps a connection that lives.
    pub fn holds(&self, key: &Fingerprint) -> bool {
        self.keys.users(key, self.now).next().is_some()
    }

    /// The member of `workspace` whose key this is: of all users of the key, any one that is a member.
    pub fn enter(&self, key: &Fingerprint, workspace: &WorkspaceId) -> Result<UserId, Denial> {
        if !self.keys.serves(self.now, self.grace) {
            return Err(Denial::Stale);
        }
        self.member(key, workspace)
    }

    /// The same however old the news: what keeps a bridge that lives.
    pub fn member(&self, key: &Fingerprint, workspace: &WorkspaceId) -> Result<UserId, Denial> {
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
        assert!(at(0).knows(&fingerprint(1)) && at(0).enter(&fingerprint(1), &workspace).is_ok());
        assert!(!at(1).knows(&fingerprint(1)) && !at(1).holds(&fingerprint(1)));
        assert_eq!(at(1).enter(&fingerprint(1), &workspace), Err(Denial::NoAccess(workspace.clone())));
        assert_eq!(at(1).member(&fingerprint(1), &workspace), Err(Denial::NoAccess(workspace)));
    }

    #[test]
    fn a_stale_snapshot_lets_nobody_in() {
        let keys = keyset(&[(1, "alice")], &[("796636", &["alice"])]);
        let late = Gate { now: NOW.after(LIFETIME + Duration::from_secs(1)), ..gate(&keys) };
        assert!(gate(&keys).knows(&fingerprint(1)));
        assert!(!late.knows(&fingerprint(1)));
        assert_eq!(late.enter(&fingerprint(1), &"796636".parse().unwrap()), Err(Denial::Stale));
        assert!(
            late.holds(&fingerprint(1)) && late.member(&fingerprint(1), &"796636".parse().unwrap()).is_ok(),
            "what lives, lives on"
        );
    }
}

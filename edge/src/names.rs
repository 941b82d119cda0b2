//! What rows are called: facts bear the same names in the Ledger and in KV; the rest is the Ledger's own.

use drawbridge_shared::{
    fingerprint::Fingerprint,
    hex,
    id::{DaemonId, UserId, WorkspaceId},
    snapshot::BlobHash,
    time::Timestamp,
    token::{Scope, TokenHash},
};

/// A page of KV's names, and where it goes on if it does: only that tells the end. Names that were deleted are missing in their page,
/// which may be empty in front of others.
pub type Listed = (Vec<String>, Option<String>);

/// The current signed manifest.
pub const MANIFEST: &str = "manifest";
/// Where the API describes itself.
pub const OPENAPI_PATH: &str = "/api/openapi.json";
/// Where manifests are followed.
pub const FEED_PATH: &str = "/v1/feed";
/// Where many facts are taken in at once.
pub const IMPORT_PATH: &str = "/api/operator/import";
/// Where users' keys are.
pub const KEYS_PATH: &str = "/api/ssh/keys";
/// Where shards are fetched.
pub const BLOB_PATH: &str = "/v1/snapshot/blob/";
/// All tokens.
pub const TOKENS: &str = "t/";
/// All members.
pub const MEMBERS: &str = "m/";
/// All keys.
pub const KEYS: &str = "k/";
/// All workspaces.
pub const WORKSPACES: &str = "w/";
/// All regions.
pub const REGIONS: &str = "r/";
/// All daemons.
pub const DAEMONS: &str = "d/";
/// Names that KV does not have yet as they are. Ledger only.
pub const JOURNAL: &str = "j/";
/// Shards that no manifest names any more. Ledger only.
pub const GARBAGE: &str = "g/";

/// Bytes of the shards that no manifest names any more. Ledger only.
pub const GARBAGE_SIZE: &str = "y/garbage";
/// This Ledger has begun its life. Ledger only.
pub const BORN: &str = "y/born";
/// How far a Ledger is that gets its rows back from KV. Ledger only.
pub const REBUILD: &str = "y/rebuild";

/// What stands in a shard that is to be built, by the shard's number; names of facts follow. Ledger only.
pub fn building(shard: usize) -> String {
    format!("s/{shard:03x}/")
}

/// A token, by its hash.
pub fn token(hash: TokenHash) -> String {
    [TOKENS, &hash.to_hex()].concat()
}

/// All tokens of one subject; each name ends with a hash. Ledger only.
pub fn tokens_of(scope: Scope, subject: &str) -> String {
    format!("x/{scope}/{}/", escape(subject))
}

/// All keys of `user`.
pub fn keys_of(user: &UserId) -> String {
    format!("{KEYS}{}/", escape(user.as_str()))
}

/// One key of `user`.
pub fn key(user: &UserId, fingerprint: &Fingerprint) -> String {
    keys_of(user) + &fingerprint.to_hex()
}

/// When each key of `user` was last used; each name ends with a fingerprint. Ledger only.
pub fn last_uses_of(user: &UserId) -> String {
    format!("l/{}/", escape(user.as_str()))
}

/// When a key was last used, in seconds since the epoch. Ledger only.
pub fn last_use(user: &UserId, fingerprint: &Fingerprint) -> String {
    last_uses_of(user) + &fingerprint.to_hex()
}

/// All workspaces that `user` may enter; each name ends with an id. Ledger only.
pub fn workspaces_of(user: &UserId) -> String {
    format!("u/{}/", escape(user.as_str()))
}

/// One workspace.
pub fn workspace(id: &WorkspaceId) -> String {
    [WORKSPACES, id.as_str()].concat()
}

/// All members of `workspace`.
pub fn members_of(workspace: &WorkspaceId) -> String {
    format!("{MEMBERS}{workspace}/")
}

/// One member.
pub fn member(workspace: &WorkspaceId, user: &UserId) -> String {
    members_of(workspace) + &escape(user.as_str())
}

/// One daemon.
pub fn daemon(id: &DaemonId) -> String {
    [DAEMONS, id.as_str()].concat()
}

/// One region.
pub fn region(name: &str) -> String {
    [REGIONS, name].concat()
}

/// One shard.
pub fn blob(hash: BlobHash) -> String {
    format!("b/{hash}")
}

/// When a change goes to KV: the manifest behind its shards, and an end behind the manifest that no longer needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Facts and shards that are there.
    Put,
    /// The manifest.
    Manifest,
    /// Whatever is gone.
    Delete,
}

impl Stage {
    /// The stage of `name`, by whether it is there.
    pub fn of(name: &str, present: bool) -> Self {
        match (present, name) {
            (true, MANIFEST) => Self::Manifest,
            (true, _) => Self::Put,
            (false, _) => Self::Delete,
        }
    }

    const fn folder(self) -> &'static str {
        match self {
            Self::Put => "j/1/",
            Self::Manifest => "j/2/",
            Self::Delete => "j/3/",
        }
    }
}

/// The mark that KV does not have `name` as it is; sorted by stage.
pub fn journal(stage: Stage, name: &str) -> String {
    [stage.folder(), name].concat()
}

/// The name in a mark.
pub fn parse_journal(mark: &str) -> Option<&str> {
    mark.strip_prefix(JOURNAL)?.split_once('/').map(|(_, name)| name)
}

/// The mark that a shard goes at `due`; sorted by time.
pub fn garbage(due: Timestamp, hash: BlobHash) -> String {
    format!("{GARBAGE}{:012}/{hash}", due.as_unix())
}

/// Back from [`garbage`].
pub fn parse_garbage(name: &str) -> Option<(Timestamp, BlobHash)> {
    let (due, hash) = name.strip_prefix(GARBAGE)?.split_once('/')?;
    Some((Timestamp::from_unix(due.parse().ok()?), BlobHash::from_hex(hash)?))
}

/// The fingerprint at the end of a key's name.
pub fn fingerprint_of(name: &str) -> Option<Fingerprint> {
    name.rsplit('/').next().and_then(hex::decode32).map(Fingerprint)
}

/// The user at the end of a member's name.
pub fn user_of(name: &str) -> Option<UserId> {
    name.rsplit('/').next().and_then(|user| unescape(user).parse().ok())
}

/// Workspace and user of a member's name.
pub fn member_of(name: &str) -> Option<(WorkspaceId, UserId)> {
    let (workspace, _) = name.strip_prefix(MEMBERS)?.split_once('/')?;
    Some((workspace.parse().ok()?, user_of(name)?))
}

/// User and fingerprint of a key's name.
pub fn key_of(name: &str) -> Option<(UserId, Fingerprint)> {
    let (user, _) = name.strip_prefix(KEYS)?.split_once('/')?;
    Some((unescape(user).parse().ok()?, fingerprint_of(name)?))
}

/// The last part of a name: an id that needs no escape.
pub fn tail(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('/', "%2F")
}

fn unescape(text: &str) -> String {
    text.replace("%2F", "/").replace("%25", "%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_stay_in_their_own_folder() {
        let workspace: WorkspaceId = "796636".parse().unwrap();
        for user in ["alice", "a/b", "%2F", "a%2Fb/%25", "%", "/"] {
            let user: UserId = user.parse().unwrap();
            let name = member(&workspace, &user);
            assert_eq!(name.matches('/').count(), 2, "{name}");
            assert_eq!(user_of(&name), Some(user));
        }
    }

    #[test]
    fn garbage_sorts_by_time() {
        let hash = BlobHash::of(b"x");
        let early = garbage(Timestamp::from_unix(999), hash);
        assert!(early < garbage(Timestamp::from_unix(1_000), hash));
        assert_eq!(parse_garbage(&early), Some((Timestamp::from_unix(999), hash)));
    }
}

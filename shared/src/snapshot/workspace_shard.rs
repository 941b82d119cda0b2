//! Shards of family `w`: a JSON list of workspaces with their agent keys and members.

use crate::id::{UserId, WorkspaceId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// One workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Workspace {
    /// Its name.
    pub id: WorkspaceId,
    /// Where it runs.
    pub region: String,
    /// `ssh-ed25519 AAAA...` of its agent, once enrolled.
    pub agent_key: Option<String>,
    /// Who may enter, sorted.
    pub members: Vec<UserId>,
    /// Whether its platform has put it to sleep: words for its members, never a refusal of an agent that is there.
    #[serde(default, skip_serializing_if = "is_false")]
    pub asleep: bool,
}

/// What is not said takes no room in a shard.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Which shard a workspace is in: the first byte of SHA-256 of its id.
pub fn shard_of(workspace: &WorkspaceId) -> u8 {
    Sha256::digest(workspace.as_str().as_bytes()).first().copied().unwrap_or_default()
}

/// The shard that `workspaces` make, in any order.
pub fn build(mut workspaces: Vec<Workspace>) -> Vec<u8> {
    workspaces.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    serde_json::to_vec(&workspaces).unwrap_or_default()
}

/// Reads a shard whose hash was checked; `None` unless every workspace belongs in shard `id` and none is doubled.
pub fn open(id: u8, bytes: &[u8]) -> Option<Vec<Workspace>> {
    let workspaces: Vec<Workspace> = serde_json::from_slice(bytes).ok()?;
    let here = workspaces.iter().all(|workspace| shard_of(&workspace.id) == id);
    let ascending = workspaces.is_sorted_by(|a, b| a.id < b.id);
    (here && ascending).then_some(workspaces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(id: &str) -> Workspace {
        Workspace {
            id: id.parse().unwrap(),
            region: "eu".into(),
            agent_key: None,
            members: vec!["alice".parse().unwrap()],
            asleep: false,
        }
    }

    #[test]
    fn there_and_back() {
        let one = workspace("796636");
        let id = shard_of(&one.id);
        assert_eq!(open(id, &build(vec![one.clone()])), Some(vec![one.clone()]));
        assert_eq!(open(id.wrapping_add(1), &build(vec![one.clone()])), None);
        assert_eq!(open(id, &build(vec![one.clone(), one])), None);
        assert_eq!(open(id, b"[{}]"), None);
    }

    #[test]
    fn only_sleep_is_written_down() {
        let awake = workspace("796636");
        let asleep = Workspace { asleep: true, ..awake.clone() };
        let text = |workspace: &Workspace| String::from_utf8(build(vec![workspace.clone()])).unwrap();
        assert!(!text(&awake).contains("asleep") && text(&asleep).ends_with(r#","asleep":true}]"#));
        assert_eq!(open(shard_of(&asleep.id), &build(vec![asleep.clone()])), Some(vec![asleep]));
    }
}

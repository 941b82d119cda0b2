//! Workspace shards: only ordered lists of the right shard open, and what opened can be built again.

use drawbridge_shared::snapshot::workspace_shard::{Workspace, build, open, shard_of};
use std::collections::BTreeMap;

/// `data` as a shard; its number is its first workspace's.
pub fn check(data: &[u8]) -> bool {
    let Ok(all) = serde_json::from_slice::<Vec<Workspace>>(data) else {
        assert_eq!(open(0, data), None);
        return false;
    };
    regrouped(&all);
    let id = all.first().map_or(0, |first| shard_of(&first.id));
    let expected =
        all.windows(2).all(|pair| pair[0].id < pair[1].id) && all.iter().all(|workspace| shard_of(&workspace.id) == id);
    let opened = open(id, data);
    assert_eq!(opened, expected.then_some(all));
    opened.is_some_and(|opened| again(id, &opened))
}

/// Built again it opens again, as no other shard.
fn again(id: u8, workspaces: &[Workspace]) -> bool {
    let bytes = build(workspaces.to_vec());
    assert_eq!(open(id, &bytes).as_deref(), Some(workspaces));
    assert_eq!(open(id.wrapping_add(1), &bytes).is_some(), workspaces.is_empty());
    !workspaces.is_empty()
}

/// In whatever order they come, each in its own shard they open.
fn regrouped(all: &[Workspace]) {
    let mut shards: BTreeMap<u8, BTreeMap<_, Workspace>> = BTreeMap::new();
    for workspace in all {
        shards.entry(shard_of(&workspace.id)).or_default().insert(workspace.id.clone(), workspace.clone());
    }
    for (id, workspaces) in shards {
        let expected: Vec<_> = workspaces.into_values().collect();
        let bytes = build(expected.iter().rev().cloned().collect());
        assert_eq!(open(id, &bytes), Some(expected));
    }
}

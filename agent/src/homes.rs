//! Which daemons a workspace is at home at: rendezvous hashing, so that every side finds the same ones alone.

use drawbridge_shared::{
    id::WorkspaceId,
    snapshot::{BlobHash, directory::DaemonEntry},
};

/// The `most` daemons of `directory` that `workspace` is at home at, its first home first.
pub fn homes<'a>(directory: &'a [DaemonEntry], workspace: &WorkspaceId, most: usize) -> Vec<&'a DaemonEntry> {
    let mut ranked: Vec<_> = directory.iter().map(|daemon| (weight(daemon, workspace), daemon)).collect();
    ranked.sort_by(|(left, _), (right, _)| right.cmp(left));
    ranked.into_iter().take(most).map(|(_, daemon)| daemon).collect()
}

/// Highest random weight: SHA-256 over both names, which a `/` keeps apart.
fn weight(daemon: &DaemonEntry, workspace: &WorkspaceId) -> BlobHash {
    BlobHash::of(format!("{}/{workspace}", daemon.id).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(names: &[&str]) -> Vec<DaemonEntry> {
        let entry = |name: &&str| DaemonEntry {
            id: name.parse().unwrap(),
            region: "eu".into(),
            identity: String::new(),
            addresses: vec![],
        };
        names.iter().map(entry).collect()
    }

    #[test]
    fn a_daemon_that_goes_moves_only_those_it_had() {
        let (all, fewer) = (directory(&["a", "b", "c", "d"]), directory(&["a", "b", "d"]));
        for n in 0..200 {
            let workspace: WorkspaceId = n.to_string().parse().unwrap();
            let (before, after) = (homes(&all, &workspace, 1), homes(&fewer, &workspace, 1));
            assert!(before[0].id == after[0].id || before[0].id.as_str() == "c");
        }
    }

    #[test]
    fn workspaces_spread() {
        let all = directory(&["a", "b", "c", "d"]);
        let at_a = (0..400).filter(|n| homes(&all, &n.to_string().parse().unwrap(), 1)[0].id.as_str() == "a").count();
        assert!((60..140).contains(&at_a), "{at_a}");
        assert_eq!(homes(&all, &"1".parse().unwrap(), 9).len(), 4);
    }
}

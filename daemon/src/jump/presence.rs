//! Whether a workspace can be reached from here, and if not, why: for its members only.

use crate::{denial::Denial, keyset::KeySet, link::Link, registry::Registry};
use drawbridge_shared::{id::WorkspaceId, native::identity::PublicIdentity};

/// The tunnel that new streams of `workspace` go through, from the daemon that is `identity`.
pub(super) fn reach(
    registry: &Registry<Link>,
    keys: &KeySet,
    identity: &PublicIdentity,
    workspace: &WorkspaceId,
) -> Result<Link, Denial> {
    registry.active(workspace).ok_or_else(|| absence(registry, keys, identity, workspace))
}

fn absence<T: Clone>(registry: &Registry<T>, keys: &KeySet, identity: &PublicIdentity, workspace: &WorkspaceId) -> Denial {
    let elsewhere = keys.region(workspace).filter(|region| keys.home(identity).is_some_and(|home| home != *region));
    match elsewhere {
        Some(region) => Denial::Moved(workspace.clone(), region.to_owned()),
        None if !registry.of(workspace).is_empty() => Denial::Draining(workspace.clone()),
        None => Denial::Offline(workspace.clone(), registry.absent_since(workspace)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{keyset::tests::keyset_with_daemon, registry::Seat};
    use drawbridge_shared::{native::identity::Identity, time::Timestamp, tunnel::instance::Instance};

    #[test]
    fn members_are_told_why() {
        let (here, there) = (Identity::from_seed(&[1; 32]).public(), Identity::from_seed(&[2; 32]).public());
        let keys = keyset_with_daemon(&[("796636", &["alice"])], &[("here", "eu", here), ("there", "us", there)]);
        let (registry, workspace) = (Registry::default(), "796636".parse::<WorkspaceId>().unwrap());
        let why = |daemon| absence(&registry, &keys, daemon, &workspace);
        assert_eq!(why(&here), Denial::Offline(workspace.clone(), None));
        assert_eq!(why(&there), Denial::Moved(workspace.clone(), "eu".into()));
        let seat = Seat { workspace: workspace.clone(), instance: Instance([1; 16]), accepts: false, alone: true };
        let place = registry.register(seat, ());
        assert_eq!(why(&here), Denial::Draining(workspace.clone()));
        drop(place);
        registry.left(&workspace, Timestamp::from_unix(7));
        assert_eq!(why(&here), Denial::Offline(workspace.clone(), Some(Timestamp::from_unix(7))));
    }
}

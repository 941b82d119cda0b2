//! Whether a workspace can be reached from here, and if not, why: for its members only.

use super::Hall;
use crate::{
    denial::Denial,
    keyset::KeySet,
    limits::{ARRIVALS, COMES_BACK},
    link::Link,
    registry::Registry,
};
use drawbridge_shared::{
    id::WorkspaceId,
    native::{clock, identity::PublicIdentity},
};
use tokio::time::{self, Instant};

/// The tunnel that new streams of `workspace` go through, from the daemon that is `identity`.
pub(super) fn reach(
    registry: &Registry<Link>,
    keys: &KeySet,
    identity: &PublicIdentity,
    workspace: &WorkspaceId,
) -> Result<Link, Denial> {
    registry.active(workspace).ok_or_else(|| absence(registry, keys, identity, workspace))
}

/// The same for a new stream, which waits for an agent that may be on its way: after a start all are, one whose tunnel has just
/// gone is, and one that a leaving daemon has sent away comes back for what is still wanted of it.
pub(super) async fn expect(hall: &Hall, workspace: &WorkspaceId) -> Result<Link, Denial> {
    let leaving = hall.stop.is_cancelled();
    let until = if leaving { Instant::now() + ARRIVALS } else { (hall.born + ARRIVALS).max(returns(hall, workspace)) };
    match time::timeout_at(until, arrival(hall, workspace)).await {
        Ok(reached) => reached,
        Err(_) if leaving => Err(Denial::Stopping),
        Err(_) => hall.link(workspace),
    }
}

/// Until when an agent that has just gone is waited for.
fn returns(hall: &Hall, workspace: &WorkspaceId) -> Instant {
    let gone = hall.registry.absent_since(workspace).map_or(COMES_BACK, |since| clock::now().since(since));
    Instant::now() + COMES_BACK.saturating_sub(gone)
}

/// Waits until the workspace can be reached, or never will.
async fn arrival(hall: &Hall, workspace: &WorkspaceId) -> Result<Link, Denial> {
    let mut newest = hall.registry.watch();
    let _awaited = hall.registry.awaiting(workspace);
    loop {
        newest.borrow_and_update();
        match hall.link(workspace) {
            // It never fails: the hall holds the registry.
            Err(Denial::Offline(..) | Denial::Draining(_)) if newest.changed().await.is_ok() => {}
            reached => return reached,
        }
    }
}

fn absence<T: Clone>(registry: &Registry<T>, keys: &KeySet, identity: &PublicIdentity, workspace: &WorkspaceId) -> Denial {
    let elsewhere = keys.region(workspace).filter(|region| keys.home(identity).is_some_and(|home| home != *region));
    match elsewhere {
        Some(region) => Denial::Moved(workspace.clone(), region.to_owned()),
        None if !registry.of(workspace).is_empty() => Denial::Draining(workspace.clone()),
        None if keys.asleep(workspace) => Denial::Asleep(workspace.clone()),
        None => Denial::Offline(workspace.clone(), registry.absent_since(workspace)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        keyset::tests::{keyset_with_daemon, with_workspaces},
        registry::Seat,
    };
    use drawbridge_shared::{
        native::identity::Identity, snapshot::workspace_shard::Workspace, time::Timestamp, tunnel::instance::Instance,
    };

    #[test]
    fn members_are_told_why() {
        let (here, there) = (Identity::from_seed(&[1; 32]).public(), Identity::from_seed(&[2; 32]).public());
        let keys = keyset_with_daemon(&[("796636", &["alice"])], &[("here", "eu", here), ("there", "us", there)]);
        let (registry, workspace) = (Registry::default(), "796636".parse::<WorkspaceId>().unwrap());
        let members = vec!["alice".parse().unwrap()];
        let asleep = Workspace { id: workspace.clone(), region: "eu".into(), agent_key: None, members, asleep: true };
        let sleeping = with_workspaces(&keys, vec![asleep]);
        let why = |daemon| absence(&registry, &keys, daemon, &workspace);
        let why_asleep = |daemon| absence(&registry, &sleeping, daemon, &workspace);
        assert_eq!(why(&here), Denial::Offline(workspace.clone(), None));
        assert_eq!(why(&there), Denial::Moved(workspace.clone(), "eu".into()));
        assert_eq!(why_asleep(&here), Denial::Asleep(workspace.clone()));
        assert_eq!(why_asleep(&there), Denial::Moved(workspace.clone(), "eu".into()));
        let seat = Seat { workspace: workspace.clone(), instance: Instance([1; 16]), accepts: false, alone: true };
        let place = registry.register(seat, ());
        assert_eq!((why(&here), why_asleep(&here)), (Denial::Draining(workspace.clone()), Denial::Draining(workspace.clone())));
        drop(place);
        registry.left(&workspace, Timestamp::from_unix(7));
        assert_eq!(why(&here), Denial::Offline(workspace.clone(), Some(Timestamp::from_unix(7))));
    }
}

//! Tells agents of snapshots that concern them, so that each asks for its own keys at once and nobody else does; one that is no
//! longer its workspace's is cut off.

use crate::{
    keyset::{Concerned, KeySet},
    link::Link,
    registry::Registry,
    snapshot::Snapshots,
};
use drawbridge_shared::{id::WorkspaceId, native::identity::PublicIdentity, tunnel::frame::Frame};
use std::sync::Arc;
use tokio::task;
use tokio_util::sync::CancellationToken;

/// Compares every view with the one before, until `end`, which comes after the last session's.
pub(crate) async fn run(snapshots: Snapshots, registry: Registry<Link>, end: CancellationToken) {
    let mut views = snapshots.watch();
    let mut told = snapshots.current();
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            changed = views.changed() => if changed.is_err() { return },
        }
        let view = views.borrow_and_update().clone();
        let concerned = concerned(told, view.clone()).await;
        tell(&registry, &view, &snapshots.current(), concerned);
        told = view;
    }
}

/// Beside the logins: many changes at once take a while to compare.
async fn concerned(told: Arc<KeySet>, view: Arc<KeySet>) -> Concerned {
    let compared = task::spawn_blocking(move || view.concerned(told.touched(&view)));
    compared.await.unwrap_or(Concerned::All)
}

/// `current` is what agents are judged by: some have come since `view`.
fn tell(registry: &Registry<Link>, view: &KeySet, current: &KeySet, concerned: Concerned) {
    let news = |id: &WorkspaceId, link: Link| {
        if link.stays(current.agent_key(id)) {
            link.say(Frame::KeysChanged { seq: view.seq() });
        }
    };
    match concerned {
        Concerned::All => {
            registry.all().into_iter().for_each(|(id, link)| news(&id, link));
            registry.parting().iter().for_each(|(id, link)| judge(link, current.agent_key(id)));
        }
        Concerned::These(ids) => ids.iter().for_each(|id| {
            registry.of(id).into_iter().for_each(|link| news(id, link));
            registry.parting_of(id).iter().for_each(|link| judge(link, current.agent_key(id)));
        }),
    }
}

/// Of a tunnel after its goodbye: it hears nothing more, and may be no longer its workspace's all the same.
fn judge(link: &Link, current: Option<PublicIdentity>) {
    let _ = link.stays(current);
}

//! Tells agents of snapshots that concern them, so that each asks for its own keys at once and nobody else does.

use crate::{link::Link, registry::Registry, snapshot::Snapshots};
use drawbridge_shared::tunnel::frame::Frame;
use tokio_util::sync::CancellationToken;

/// Compares every view with the one before, until `stop`.
pub(crate) async fn run(snapshots: Snapshots, registry: Registry<Link>, stop: CancellationToken) {
    let mut views = snapshots.watch();
    let mut told = snapshots.current();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = views.changed() => if changed.is_err() { return },
        }
        let view = views.borrow_and_update().clone();
        let touched = told.touched(&view);
        for (id, link) in registry.all() {
            if touched.concerns(&id, view.workspace(&id)) {
                link.say(Frame::KeysChanged { seq: view.seq() });
            }
        }
        told = view;
    }
}

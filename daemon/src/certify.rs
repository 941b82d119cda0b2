//! The daemon's host certificate: shown to whoever connects next, asked for anew when the directory says something else.

use crate::{jump::Face, keyset::KeySet};
use drawbridge_shared::native::host_certificate::Renewal;
use std::{future, sync::Arc};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Where the edge certifies daemons.
pub(crate) const PATH: &str = "v1/daemon/host-certificate";

/// Keeps `face` certified until `stop`.
pub(crate) async fn run(renewal: Renewal, face: Face, mut views: watch::Receiver<Arc<KeySet>>, stop: CancellationToken) {
    let mut held = views.borrow_and_update().clone();
    let news = async move || {
        while views.changed().await.is_ok() {
            let view = views.borrow_and_update().clone();
            let old = std::mem::replace(&mut held, view);
            if old.daemons() != held.daemons() {
                return;
            }
        }
        future::pending().await
    };
    renewal.run(|certificate| face.show(certificate), news, stop).await;
}

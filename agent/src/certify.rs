//! The workspace's host certificate: shown to whoever connects next, asked for anew when the region's daemons change.

use crate::{
    keys::Held,
    ssh::{Authorize, Server},
};
use drawbridge_shared::native::host_certificate::Renewal;
use std::future;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Where the edge certifies agents.
pub(crate) const PATH: &str = "v1/agent/host-certificate";

/// Keeps `server` certified until `stop`.
pub(crate) async fn run<A: Authorize>(
    renewal: Renewal,
    server: Server<A>,
    mut documents: watch::Receiver<Held>,
    stop: CancellationToken,
) {
    let mut held = documents.borrow_and_update().clone();
    let news = async move || {
        while documents.changed().await.is_ok() {
            let document = documents.borrow_and_update().clone();
            let old = std::mem::replace(&mut held, document);
            if old.is_some_and(|old| held.as_ref().is_none_or(|new| new.daemons != old.daemons)) {
                return;
            }
        }
        future::pending().await
    };
    renewal.run(|certificate| server.certify(certificate), news, stop).await;
}

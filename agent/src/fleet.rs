//! One dialer a home daemon: started, kept and stopped as the signed directory says.

use crate::{dialer::Dialer, homes::homes, keys::Held, limits::MAX_DAEMONS};
use drawbridge_shared::snapshot::directory::DaemonEntry;
use std::collections::HashMap;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Follows the directory in `documents` until `stop`.
pub(crate) async fn run(dialer: Dialer, mut documents: watch::Receiver<Held>, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    let mut dialled: HashMap<DaemonEntry, CancellationToken> = HashMap::new();
    loop {
        let document = documents.borrow_and_update().clone();
        dialer.board.post(|status| status.keys_seq = document.as_ref().map(|document| document.seq));
        if let Some(document) = document {
            let wanted = homes(&document.daemons, &dialer.workspace, MAX_DAEMONS);
            dialled.retain(|daemon, call| {
                let stays = wanted.contains(&daemon);
                if !stays {
                    call.cancel();
                }
                stays
            });
            for daemon in wanted {
                dialled.entry(daemon.clone()).or_insert_with(|| {
                    let call = stop.child_token();
                    tasks.spawn(dialer.clone().run(daemon.clone(), call.clone()));
                    call
                });
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            changed = documents.changed() => if changed.is_err() { break },
        }
    }
    tasks.close();
    tasks.wait().await;
}

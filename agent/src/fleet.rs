//! One dialer a line: started, kept and stopped as the signed directory says.

use crate::{
    dialer::Dialer,
    keys::Held,
    lines::{Line, lines},
};
use std::collections::HashMap;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Follows the directory in `documents` until `stop`.
pub(crate) async fn run(dialer: Dialer, mut documents: watch::Receiver<Held>, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    let mut dialled: HashMap<Line, CancellationToken> = HashMap::new();
    loop {
        let document = documents.borrow_and_update().clone();
        dialer.board.post(|status| status.keys_seq = document.as_ref().map(|document| document.seq));
        if let Some(document) = document {
            let wanted = lines(&document.daemons, &dialer.workspace);
            dialled.retain(|line, call| {
                let stays = wanted.contains(line);
                if !stays {
                    call.cancel();
                }
                stays
            });
            for line in wanted {
                dialled.entry(line).or_insert_with_key(|line| {
                    dialer.announce(line);
                    let call = stop.child_token();
                    tasks.spawn(dialer.clone().run(line.clone(), call.clone()));
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

//! One dialer a line: started, kept and stopped as the signed directory says.

use crate::{
    dialer::Dialer,
    keys::Held,
    lines::{Line, lines},
    status::Board,
};
use std::collections::HashMap;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Follows the directory in `documents` until `stop`; `board` shows which that is.
pub(crate) async fn run(dialer: Dialer, board: Board, mut documents: watch::Receiver<Held>, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    let mut dialled: HashMap<Line, CancellationToken> = HashMap::new();
    loop {
        let document = documents.borrow_and_update().clone();
        board.post(|status| status.keys_seq = document.as_ref().map(|document| document.seq));
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
                    let entry = dialer.announce(line.clone());
                    let call = stop.child_token();
                    tasks.spawn(dialer.clone().run(entry, call.clone()));
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

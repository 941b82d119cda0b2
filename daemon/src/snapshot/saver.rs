//! Writes to disk what was taken, behind the logins' back: one save at a time, of the newest.

use super::store::{Store, Unsaved};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::{sync::Notify, task};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Where the keeper leaves what is to be saved. What waits is one manifest and at most the shards that it names.
#[derive(Clone, Debug, Default)]
pub(super) struct Tray(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: Mutex<Option<Unsaved>>,
    news: Notify,
}

impl Tray {
    /// Leaves `newest`, which supersedes what waits.
    pub(super) fn put(&self, newest: Unsaved) {
        let mut waiting = self.lock();
        *waiting = Some(match waiting.take() {
            Some(older) => newest.after(older),
            None => newest,
        });
        drop(waiting);
        self.0.news.notify_one();
    }

    /// Back again, unless something newer came: the shards may be needed still.
    fn put_back(&self, failed: Unsaved) {
        let mut waiting = self.lock();
        *waiting = Some(match waiting.take() {
            Some(newer) => newer.after(failed),
            None => failed,
        });
    }

    fn lock(&self) -> MutexGuard<'_, Option<Unsaved>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Saves whatever `tray` holds until `stop`, and then once more. A save that failed is tried again with the next.
pub(super) async fn run(tray: Tray, mut store: Store, stop: CancellationToken) {
    loop {
        let last = tokio::select! {
            () = tray.0.news.notified() => false,
            () = stop.cancelled() => true,
        };
        let next = tray.lock().take();
        if let Some(unsaved) = next {
            let Some(back) = save(&tray, store, unsaved).await else { return };
            store = back;
        }
        if last {
            return;
        }
    }
}

async fn save(tray: &Tray, mut store: Store, unsaved: Unsaved) -> Option<Store> {
    let job = task::spawn_blocking(move || {
        let saved = store.save(&unsaved);
        (store, saved.map_err(|fault| (fault, unsaved)))
    });
    match job.await {
        Ok((store, Ok(()))) => Some(store),
        Ok((store, Err((fault, unsaved)))) => {
            warn!(%fault, "the snapshot is served and not saved");
            tray.put_back(unsaved);
            Some(store)
        }
        Err(fault) => {
            warn!(%fault, "snapshots are not saved any more");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::store::tests::{Disk, unsaved};
    use std::fs;

    #[tokio::test]
    async fn the_newest_is_saved_with_every_shard_it_names() {
        let disk = Disk::new();
        let (tray, stop) = (Tray::default(), CancellationToken::new());
        tray.put(unsaved(&disk.edge, 7, &[1, 2], &[1, 2]));
        tray.put(unsaved(&disk.edge, 8, &[2, 3], &[3]));
        stop.cancel();
        run(tray, disk.store(), stop).await;
        let view = disk.load().unwrap();
        assert_eq!((view.seq().0, view.references().count()), (8, 2));
    }

    #[tokio::test]
    async fn what_could_not_be_saved_is_saved_with_the_next() {
        let disk = Disk::new();
        let (tray, store) = (Tray::default(), disk.store());
        let folder = disk.folder();
        fs::rename(&folder, folder.with_extension("away")).unwrap();
        let store = save(&tray, store, unsaved(&disk.edge, 7, &[1, 2], &[1, 2])).await.unwrap();
        fs::rename(folder.with_extension("away"), &folder).unwrap();
        tray.put(unsaved(&disk.edge, 8, &[1, 2, 3], &[3]));
        let stop = CancellationToken::new();
        stop.cancel();
        run(tray, store, stop).await;
        assert_eq!(disk.load().unwrap().references().count(), 3);
    }
}

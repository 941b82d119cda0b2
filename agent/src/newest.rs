//! What is newest is written on a thread beside: a disk that does not answer holds up nobody, and what was superseded meanwhile is
//! left out.

use crate::limits::WRITTEN_AGAIN;
use drawbridge_shared::{
    native::state_dir::StateFault,
    trouble::{Trouble, Turn},
};
use std::{io, path::Path};
use tokio::{
    sync::watch,
    task::{self, JoinError},
    time,
};
use tokio_util::sync::CancellationToken;

/// Writes `newest` to `place`, now and whenever it changes, until `stop` and then what had changed; what failed is tried again. `tell`
/// hears when that begins, changes its kind and ends.
pub(crate) async fn keep<T: Clone + Send + Sync + 'static>(
    mut newest: watch::Receiver<T>,
    place: &Path,
    stop: CancellationToken,
    write: impl Fn(&T) -> Result<(), StateFault> + Clone + Send + 'static,
    tell: impl Fn(Turn<StateFault>),
) {
    let mut trouble = Trouble::default();
    loop {
        let (value, write) = (newest.borrow_and_update().clone(), write.clone());
        let written = task::spawn_blocking(move || write(&value)).await.unwrap_or_else(|fault| Err(fell(place, fault)));
        let failed = written.is_err();
        trouble.turn(written.err(), StateFault::to_string).into_iter().for_each(&tell);
        let is_over = tokio::select! {
            changed = newest.changed() => changed.is_err(),
            () = time::sleep(WRITTEN_AGAIN), if failed => false,
            () = stop.cancelled() => !newest.has_changed().unwrap_or(false),
        };
        if is_over {
            return;
        }
    }
}

fn fell(place: &Path, fault: JoinError) -> StateFault {
    StateFault::Io { path: place.into(), source: io::Error::other(fault) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex, mpsc};

    const SOON: time::Duration = time::Duration::from_secs(10);

    #[tokio::test]
    async fn a_disk_that_hangs_holds_up_nobody_and_gets_the_newest_then() {
        let (newest, stop) = (watch::Sender::new(1), CancellationToken::new());
        let (answer, disk) = mpsc::sync_channel::<()>(2);
        let (disk, written) = (Arc::new(Mutex::new(disk)), Arc::new(Mutex::new(vec![])));
        let noted = written.clone();
        let write = move |value: &u32| {
            disk.lock().unwrap().recv().unwrap();
            noted.lock().unwrap().push(*value);
            Ok(())
        };
        let story = async {
            task::yield_now().await;
            for next in 2..=4 {
                newest.send_replace(next);
                time::sleep(time::Duration::from_millis(20)).await;
            }
            assert!(written.lock().unwrap().is_empty());
            (0..2).for_each(|_| answer.send(()).unwrap());
            stop.cancel();
        };
        let kept = keep(newest.subscribe(), Path::new("x"), stop.clone(), write, |_| {});
        time::timeout(SOON, async { tokio::join!(kept, story) }).await.unwrap();
        assert_eq!(*written.lock().unwrap(), [1, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_is_told_once_and_tried_again() {
        let (newest, stop) = (watch::Sender::new(()), CancellationToken::new());
        let (tries, told) = (Arc::new(Mutex::new(0)), Mutex::new(vec![]));
        let write = move |(): &()| {
            let mut tries = tries.lock().unwrap();
            *tries += 1;
            if *tries < 4 { Err(StateFault::Io { path: "x".into(), source: io::ErrorKind::StorageFull.into() }) } else { Ok(()) }
        };
        let (ended, tell) = (stop.clone(), |turn| {
            if matches!(turn, Turn::Works) {
                stop.cancel();
            }
            told.lock().unwrap().push(matches!(turn, Turn::Works));
        });
        keep(newest.subscribe(), Path::new("x"), ended, write, tell).await;
        assert_eq!(*told.lock().unwrap(), [false, true]);
    }
}

//! Calls to file systems, on threads beside: a folder that does not answer (NFS, FUSE) holds up the account that asks for it, and no
//! other.

use super::limits;
use drawbridge_shared::native::places::Places;
use std::{io, sync::LazyLock};
use tokio::{task::spawn_blocking, time::timeout};

/// Those of all connections together, by the account's number.
static PLACES: LazyLock<Places<u32>> = LazyLock::new(|| Places::new(limits::ASIDE));

/// What `job` returns for the account of number `uid`, however long it takes. An error where as many others do not come to an end.
pub(super) async fn aside<T: Send + 'static>(uid: u32, job: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let place = timeout(limits::FILE_SYSTEM, PLACES.wait(uid)).await.map_err(|_| silent())?;
    let done = spawn_blocking(move || {
        let _place = place;
        job()
    });
    Ok(done.await?)
}

/// What `job` returns in time. Later it goes on, and what it returns is dropped there.
pub(super) async fn soon<T: Send + 'static>(uid: u32, job: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    timeout(limits::FILE_SYSTEM, aside(uid, job)).await.map_err(|_| silent())?
}

fn silent() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the file system does not answer")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{SyncSender, sync_channel};

    /// A job that does not end before its sender is gone.
    fn endless() -> (impl FnOnce() + Send + 'static, SyncSender<()>) {
        let (end, ended) = sync_channel(0);
        let job = move || {
            let _ended = ended.recv();
        };
        (job, end)
    }

    #[tokio::test]
    async fn whoever_does_not_end_holds_up_nobody_else() {
        let (job, end) = endless();
        tokio::select! {
            _ = aside(1, job) => panic!("it came to an end"),
            done = soon(1, || 7) => assert_eq!(done.unwrap(), 7),
        }
        drop(end);
    }

    #[tokio::test]
    async fn no_account_takes_the_places_of_others() {
        const DEAD: u32 = 1_000_001;
        let (jobs, ends): (Vec<_>, Vec<_>) = (0..limits::ASIDE / 2).map(|_| endless()).unzip();
        let all = futures_util::future::join_all(jobs.into_iter().map(|job| aside(DEAD, job)));
        let others = async {
            tokio::task::yield_now().await;
            assert!(soon(DEAD, || 7).await.is_err(), "it has its share");
            assert_eq!(soon(2, || 7).await.unwrap(), 7);
            drop(ends);
        };
        tokio::join!(all, others);
        assert_eq!(soon(DEAD, || 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn what_takes_too_long_is_told_so() {
        let (job, end) = endless();
        let begun = std::time::Instant::now();
        assert_eq!(soon(1, job).await.unwrap_err().to_string(), "the file system does not answer");
        assert!(begun.elapsed() >= limits::FILE_SYSTEM);
        drop(end);
    }
}

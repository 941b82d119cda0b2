//! Calls to file systems, on threads beside: a folder that does not answer (NFS, FUSE) holds up whoever asks for it, and nobody else.

use super::limits;
use std::io;
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

/// Turns of all connections together.
static PLACES: Semaphore = Semaphore::const_new(limits::ASIDE);

/// What `job` returns, however long it takes. An error where as many others do not come to an end.
pub(super) async fn aside<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let place = timeout(limits::FILE_SYSTEM, PLACES.acquire()).await.map_err(|_| silent())?;
    let done = spawn_blocking(move || {
        let _place = place;
        job()
    });
    Ok(done.await?)
}

/// What `job` returns in time. Later it goes on, and what it returns is dropped there.
pub(super) async fn soon<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    timeout(limits::FILE_SYSTEM, aside(job)).await.map_err(|_| silent())?
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
            _ = aside(job) => panic!("it came to an end"),
            done = soon(|| 7) => assert_eq!(done.unwrap(), 7),
        }
        drop(end);
    }

    #[tokio::test]
    async fn what_takes_too_long_is_told_so() {
        let (job, end) = endless();
        let begun = std::time::Instant::now();
        assert_eq!(soon(job).await.unwrap_err().to_string(), "the file system does not answer");
        assert!(begun.elapsed() >= limits::FILE_SYSTEM);
        drop(end);
    }
}

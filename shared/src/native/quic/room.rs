//! Room for packets in the kernel: looked for only while there is none.

use quinn::UdpPoller;
use std::{
    fmt,
    future::Future,
    io,
    net::UdpSocket,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};
use tokio::io::{Interest, unix::AsyncFd};
use tracing::debug;

/// Of one socket.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// There was none for the last packet.
    none: Mutex<Option<Told>>,
}

/// The kernel tells this one of room.
type Told = Arc<AsyncFd<UdpSocket>>;

impl Room {
    fn none(&self) -> MutexGuard<'_, Option<Told>> {
        self.none.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends through `socket`, unless it is known that there is no room yet; then, and if there is none, the fault is `WouldBlock`.
    pub(super) fn send(&self, socket: &UdpSocket, send: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let none = self.none().clone();
        let sent = match &none {
            None => send(),
            Some(told) => told.try_io(Interest::WRITABLE, |_| send()),
        };
        match &sent {
            Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => self.look(socket).map_or_else(lost, |()| sent),
            _ => {
                if none.is_some() {
                    *self.none() = None;
                }
                sent
            }
        }
    }

    /// A registration of its own, which is told at once if there is room by now.
    fn look(&self, socket: &UdpSocket) -> io::Result<()> {
        let mut none = self.none();
        if none.is_none() {
            *none = Some(Arc::new(told(socket.try_clone()?, Interest::WRITABLE)?));
        }
        Ok(())
    }
}

/// Nobody can be told of room, for want of descriptors mostly: the packet is as lost as one on the way, and comes again. A fault would
/// end the tunnel's task, and quinn leaves it standing then.
fn lost(fault: io::Error) -> io::Result<()> {
    debug!(%fault, "a packet is dropped: there is no room, and none can be waited for");
    Ok(())
}

/// `socket`, with the kernel telling of `interest` and nothing else.
#[allow(unsafe_code)]
pub(super) fn told(socket: UdpSocket, interest: Interest) -> io::Result<AsyncFd<UdpSocket>> {
    // SAFETY: a `UdpSocket` owns its descriptor, which stays the same and open as long as it lives.
    Ok(unsafe { AsyncFd::register_with_interest(socket, interest) }?)
}

/// One tunnel's wait for it.
pub(super) struct Wait<S> {
    socket: Arc<S>,
    waiting: Option<Pin<Box<Found>>>,
}

type Found = dyn Future<Output = io::Result<()>> + Send + Sync;

impl<S: AsRef<Room>> Wait<S> {
    /// For room in `socket`.
    pub(super) const fn new(socket: Arc<S>) -> Self {
        Self { socket, waiting: None }
    }

    /// `None` while nobody knows of a lack of room.
    fn waiting(&mut self) -> Option<Pin<&mut Found>> {
        if self.waiting.is_none() {
            let told = (*self.socket).as_ref().none().clone()?;
            self.waiting = Some(Box::pin(async move { told.writable().await.map(drop) }));
        }
        self.waiting.as_mut().map(Pin::as_mut)
    }
}

impl<S: AsRef<Room> + Send + Sync + 'static> UdpPoller for Wait<S> {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(waiting) = self.waiting() else { return Poll::Ready(Ok(())) };
        let found = ready!(waiting.poll(cx));
        self.waiting = None;
        Poll::Ready(found)
    }
}

impl<S> fmt::Debug for Wait<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("waiting", &self.waiting.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        future::poll_fn,
        os::{fd::OwnedFd, unix::net::UnixDatagram},
        time::Duration,
    };
    use tokio::time::timeout;

    /// A socket that its peer fills up: loopback's UDP always has room.
    struct Pipe {
        room: Room,
        near: UdpSocket,
        far: UnixDatagram,
    }

    impl AsRef<Room> for Pipe {
        fn as_ref(&self) -> &Room {
            &self.room
        }
    }

    impl Pipe {
        fn new() -> Arc<Self> {
            let (near, far) = UnixDatagram::pair().unwrap();
            near.set_nonblocking(true).unwrap();
            Arc::new(Self { room: Room::default(), near: OwnedFd::from(near).into(), far })
        }

        fn send(&self) -> io::Result<()> {
            self.room.send(&self.near, || self.near.send(b"packet").map(drop))
        }

        fn fill(&self) {
            while self.send().is_ok() {}
            assert_eq!(self.send().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }

        fn drain(&self) {
            self.far.set_nonblocking(true).unwrap();
            while self.far.recv(&mut [0; 16]).is_ok() {}
        }
    }

    async fn found(wait: &mut Wait<Pipe>) {
        timeout(Duration::from_secs(10), poll_fn(|cx| Pin::new(&mut *wait).poll_writable(cx))).await.expect("not woken").unwrap();
    }

    fn is_waiting(wait: &mut Wait<Pipe>) -> bool {
        Pin::new(wait).poll_writable(&mut Context::from_waker(std::task::Waker::noop())).is_pending()
    }

    #[tokio::test]
    async fn nobody_waits_while_there_is_room() {
        let pipe = Pipe::new();
        assert!(!is_waiting(&mut Wait::new(pipe.clone())));
        pipe.send().unwrap();
        assert!(!is_waiting(&mut Wait::new(pipe.clone())));
        assert!(pipe.room.none().is_none(), "it asks the kernel for what it does not need");
    }

    #[tokio::test]
    async fn all_who_wait_are_told_of_room() {
        let pipe = Pipe::new();
        let (mut first, mut second) = (Wait::new(pipe.clone()), Wait::new(pipe.clone()));
        for _ in 0..3 {
            pipe.fill();
            assert!(is_waiting(&mut first) && is_waiting(&mut second));
            tokio::join!(found(&mut first), found(&mut second), async { pipe.drain() });
            pipe.send().unwrap();
            assert!(pipe.room.none().is_none());
            assert!(!is_waiting(&mut first));
        }
    }

    #[tokio::test]
    async fn room_that_came_before_anybody_waited_is_told() {
        let pipe = Pipe::new();
        pipe.fill();
        pipe.drain();
        found(&mut Wait::new(pipe.clone())).await;
        pipe.send().unwrap();
    }

    #[tokio::test]
    async fn who_comes_late_to_room_waits_again() {
        let pipe = Pipe::new();
        let mut late = Wait::new(pipe.clone());
        pipe.fill();
        assert!(is_waiting(&mut late));
        pipe.drain();
        found(&mut Wait::new(pipe.clone())).await;
        pipe.fill();
        found(&mut late).await;
        assert_eq!(pipe.send().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(is_waiting(&mut late));
        tokio::join!(found(&mut late), async { pipe.drain() });
        pipe.send().unwrap();
    }
}

//! A trickle made slow: a stalled channel's tiny refills wait in front of the wire until something else is to be sent.
//!
//! A channel held at a trickle ([`super::inflow`]) sends two bytes a round trip, which on a short way keeps both ends
//! busy for nothing, and adds up. Its peer waits for the refill, so holding that back for a while stops it. What is
//! encrypted cannot be told apart, but a write of one packet just after such a refill is that refill and nothing else.

use super::Meter;
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// Longest write that is certainly one packet: under AES-GCM two take 72 bytes. Under MACs of 64 bytes even one is
/// longer, and is not held back.
const ONE_PACKET: usize = 64;
/// How often it is seen whether the consumer has come back.
const LOOK: Duration = Duration::from_millis(20);
/// Longest wait: a channel at a trickle gains two bytes in it.
const LONGEST: Duration = Duration::from_secs(1);

/// Tells a [`Braked`] stream of refills; cheap to clone.
#[derive(Clone, Debug)]
pub struct Brake {
    pulled: Arc<AtomicBool>,
    meter: Meter,
    /// Held bytes below which nothing is held back, and the same while all connections hold too much.
    marks: (usize, usize),
}

impl Brake {
    /// Released once `meter` falls below the first of `marks`, or the second while all connections hold too much.
    pub(super) fn new(meter: Meter, marks: (usize, usize)) -> Self {
        Self { pulled: Arc::default(), meter, marks }
    }

    fn is_over(&self) -> bool {
        self.meter.held() < self.meter.mark(self.marks.0, self.marks.1)
    }

    /// The next write has a stalled channel's tiny refill in it.
    pub fn pull(&self) {
        self.pulled.store(true, Ordering::Relaxed);
    }

    fn take(&self) -> bool {
        self.pulled.swap(false, Ordering::Relaxed)
    }
}

/// `S`, whose task reads and writes it, with refills held back.
pub struct Braked<S> {
    stream: S,
    brake: Brake,
    held: Vec<u8>,
    since: Instant,
    look: Pin<Box<Sleep>>,
}

impl<S> Braked<S> {
    /// Held back by `brake`.
    pub fn new(stream: S, brake: Brake) -> Self {
        let now = Instant::now();
        Self { stream, brake, held: Vec::new(), since: now, look: Box::pin(sleep_until(now)) }
    }

    fn hold(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
        self.since = Instant::now();
        self.look.as_mut().reset(self.since + LOOK);
    }

    /// Whether the wait is over; otherwise the task is woken to look again.
    fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        while self.look.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if now >= self.since + LONGEST || self.brake.is_over() {
                return true;
            }
            self.look.as_mut().reset(now + LOOK);
        }
        false
    }
}

impl<S: AsyncWrite + Unpin> Braked<S> {
    /// Writes what is held.
    fn poll_release(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.held))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.held.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Braked<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.held.is_empty() && self.is_due(cx) && self.poll_release(cx)?.is_ready() {
            // Its failure will be the next write's.
            let _ = Pin::new(&mut self.stream).poll_flush(cx);
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Braked<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.brake.take() && self.held.is_empty() && bytes.len() <= ONE_PACKET {
            self.hold(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        ready!(self.poll_release(cx))?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_release(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::backlog::{Inlet, Outlet, backlog};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    /// A stream over a full back-log, its far end, its brake, and the back-log.
    fn stalled() -> (Braked<DuplexStream>, DuplexStream, Brake, (Inlet, Outlet)) {
        let (near, far) = duplex(1000);
        let meter = Meter::default();
        let log = backlog(&meter);
        log.0.push(vec![0; 100].into());
        let brake = Brake::new(meter, (50, 50));
        (Braked::new(near, brake.clone()), far, brake, log)
    }

    async fn written(far: &mut DuplexStream, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        far.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    #[tokio::test(start_paused = true)]
    async fn a_refill_waits_for_the_next_write_and_goes_first() {
        let (mut stream, mut far, brake, _log) = stalled();
        brake.pull();
        stream.write_all(b"refill").await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(far.try_read(), None);
        stream.write_all(b" echo").await.unwrap();
        assert_eq!(written(&mut far, 11).await, b"refill echo");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refill_waits_no_longer_than_the_longest_wait() {
        let (mut stream, mut far, brake, _log) = stalled();
        brake.pull();
        stream.write_all(b"refill").await.unwrap();
        let start = Instant::now();
        let mut nothing = [0; 1];
        tokio::select! {
            _ = stream.read(&mut nothing) => panic!("nothing is sent to it"),
            bytes = written(&mut far, 6) => assert_eq!(bytes, b"refill"),
        }
        assert!((LONGEST..LONGEST + 2 * LOOK).contains(&start.elapsed()), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_consumer_that_comes_back_releases_it() {
        let (mut stream, mut far, brake, (_inlet, mut outlet)) = stalled();
        brake.pull();
        stream.write_all(b"refill").await.unwrap();
        outlet.read_exact(&mut [0; 60]).await.unwrap();
        let start = Instant::now();
        let mut nothing = [0; 1];
        tokio::select! {
            _ = stream.read(&mut nothing) => panic!("nothing is sent to it"),
            bytes = written(&mut far, 6) => assert_eq!(bytes, b"refill"),
        }
        assert!(start.elapsed() < 2 * LOOK, "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_more_than_one_packet_is_not_held_back() {
        let (mut stream, mut far, brake, _log) = stalled();
        brake.pull();
        stream.write_all(&[7; ONE_PACKET + 1]).await.unwrap();
        assert_eq!(written(&mut far, ONE_PACKET + 1).await, [7; ONE_PACKET + 1]);
        stream.write_all(b"not pulled").await.unwrap();
        assert_eq!(written(&mut far, 10).await, b"not pulled");
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_does_not_overtake_what_is_held() {
        let (mut stream, mut far, brake, _log) = stalled();
        brake.pull();
        stream.write_all(b"refill").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"refill");
    }

    /// Whether a read would find anything now.
    trait TryRead {
        fn try_read(&mut self) -> Option<u8>;
    }

    impl TryRead for DuplexStream {
        fn try_read(&mut self) -> Option<u8> {
            let mut byte = [0];
            let mut read = Box::pin(self.read(&mut byte));
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let ready = read.as_mut().poll(&mut cx).is_ready();
            drop(read);
            ready.then_some(byte[0])
        }
    }
}

//! Carries a strand over its legs, one at a time; who finds the next leg is somebody else's business.

use super::Shared;
use crate::{
    native::{gather::Appetite, tunnel::TunnelWriter},
    tunnel::resume::{Violation, strand::Strand},
};
use bytes::{Bytes, BytesMut};
use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    io,
    sync::Arc,
    task::Poll,
    time::Duration,
};
use tokio::{io::AsyncRead, time::sleep};

/// Most bytes read from a leg at once.
const READ: usize = 128 << 10;
/// What the application has taken waits so long for more, before the other side is told of little and need keep it no longer: a
/// session that is left alone costs neither side what its last bytes took.
pub(super) const QUIET: Duration = Duration::from_secs(1);

/// Where a leg's bytes go.
pub trait LegWriter {
    /// Sends `bytes`, uncopied.
    fn send(&mut self, bytes: Bytes) -> impl Future<Output = io::Result<()>> + Send;
    /// The same of all that is in `wire`, together; nothing is left in it.
    fn send_all(&mut self, wire: &mut Vec<Bytes>) -> impl Future<Output = io::Result<()>> + Send;
    /// Ends the leg in order.
    fn finish(&mut self);
}

impl LegWriter for TunnelWriter {
    async fn send(&mut self, bytes: Bytes) -> io::Result<()> {
        Self::send(self, bytes).await
    }

    async fn send_all(&mut self, wire: &mut Vec<Bytes>) -> io::Result<()> {
        Self::send_all(self, wire).await
    }

    fn finish(&mut self) {
        Self::finish(self);
    }
}

/// A raw stream behind its first frames.
#[derive(Debug)]
pub struct Leg<R, W> {
    reader: R,
    writer: W,
    buffer: BytesMut,
}

/// How a leg ended.
#[derive(Debug)]
pub enum Outcome {
    /// The strand is over: both ends know how.
    Over,
    /// The leg broke; the strand waits for another.
    Broke(io::Error),
    /// The other side broke the protocol: it is not to go on.
    Violated(Violation),
}

/// Makes a strand move. Dropped early it fails the strand, so that no application waits for nothing.
#[derive(Debug)]
pub struct Driver(Arc<Shared>);

impl<R, W> Leg<R, W> {
    /// Over `reader` and `writer`.
    pub fn new(reader: R, writer: W) -> Self {
        Self { reader, writer, buffer: BytesMut::new() }
    }

    /// For what is said before the first record.
    pub const fn writer(&mut self) -> &mut W {
        &mut self.writer
    }
}

impl Driver {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Carries the strand over `leg` until either ends. Given up early, the leg is to be dropped.
    pub async fn ride<R: AsyncRead + Unpin + Send, W: LegWriter + Send>(&self, leg: &mut Leg<R, W>) -> Outcome {
        let Leg { reader, writer, buffer } = leg;
        let outcome = tokio::select! {
            sent = self.send(writer) => sent.map_or_else(Outcome::Broke, |()| Outcome::Over),
            outcome = self.receive(reader, buffer) => outcome,
            never = self.settle_up() => match never {},
        };
        if matches!(outcome, Outcome::Over) {
            writer.finish();
        }
        outcome
    }

    /// Until there will be nothing to send any more.
    async fn send(&self, writer: &mut impl LegWriter) -> io::Result<()> {
        let mut wire = Vec::new();
        while poll_fn(|cx| self.poll_transmit(cx, &mut wire)).await {
            writer.send_all(&mut wire).await?;
        }
        Ok(())
    }

    /// Puts on `wire` what is to be sent; false at the end.
    fn poll_transmit(&self, cx: &std::task::Context<'_>, wire: &mut Vec<Bytes>) -> Poll<bool> {
        self.0.with(|state| {
            if state.strand.is_due() {
                state.strand.transmit(wire);
                Poll::Ready(true)
            } else if state.strand.is_over() {
                Poll::Ready(false)
            } else {
                state.sending = Some(cx.waker().clone());
                Poll::Pending
            }
        })
    }

    /// Tells the other side of the last bytes that were taken.
    async fn settle_up(&self) -> Infallible {
        loop {
            poll_fn(|cx| self.poll_owing(cx)).await;
            sleep(QUIET).await;
            self.with(Strand::settle_up);
        }
    }

    fn poll_owing(&self, cx: &std::task::Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.strand.is_owing() {
            return Poll::Ready(());
        }
        state.settling = Some(cx.waker().clone());
        Poll::Pending
    }

    async fn receive(&self, reader: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) -> Outcome {
        let mut appetite = Appetite::up_to(READ);
        loop {
            poll_fn(|cx| self.poll_receives(cx)).await;
            match poll_fn(|cx| appetite.poll(reader, cx, buffer)).await {
                Ok(0) if self.with(|strand| strand.is_over()) => return Outcome::Over,
                Ok(0) => return Outcome::Broke(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(fault) => return Outcome::Broke(fault),
            }
            if let Err(violation) = self.with(|strand| strand.receive(buffer)) {
                return Outcome::Violated(violation);
            }
            // The application may live in the same task: it reads now, while what came is still near.
            tokio::task::yield_now().await;
        }
    }

    fn poll_receives(&self, cx: &std::task::Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.receives(&self.0.budget) {
            return Poll::Ready(());
        }
        state.receiving = Some(cx.waker().clone());
        Poll::Pending
    }

    fn with<T>(&self, change: impl FnOnce(&mut Strand) -> T) -> T {
        self.0.with(|state| change(&mut state.strand))
    }

    /// The position that the next leg has to begin with.
    pub fn received(&self) -> u64 {
        self.with(|strand| strand.received())
    }

    /// The next leg begins; the other side has received all before `position`.
    pub fn attach(&self, position: u64) -> Result<(), Violation> {
        self.with(|strand| strand.attach(position))
    }

    /// Whether at most confirmations are missing.
    pub fn is_complete(&self) -> bool {
        self.with(|strand| strand.is_complete())
    }

    /// Whether nothing was ever heard of the other side.
    pub fn is_unheard(&self) -> bool {
        self.with(|strand| strand.is_unheard())
    }

    /// Ends the strand here and now: its application gets an error with these words.
    pub fn fail(&self, words: &str) {
        self.0.with(|state| {
            state.failed.get_or_insert_with(|| words.into());
        });
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.fail("the connection is not carried any more");
    }
}

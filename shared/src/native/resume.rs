//! A strand with I/O: two halves for the application, and a driver that carries it over one leg after the other.

mod budget;
mod driver;
mod see_out;

pub use budget::Budget;
pub use driver::{Driver, Leg, LegWriter, Outcome};
pub use see_out::see_out;

pub use crate::tunnel::resume::Violation;

use crate::tunnel::resume::strand::{Read, Strand};
use bytes::Bytes;
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes in each direction that a strand may always hold, however full its budget is: twice what is confirmed at once, so
/// that its own progress makes room.
const FLOOR: usize = 256 << 10;
/// Longest piece that the application gets at once.
const CHUNK: usize = 128 << 10;

/// The application's reading half. Dropped before the end it tells the other side to stop.
#[derive(Debug)]
pub struct StrandReader(Arc<Shared>);

/// The application's writing half. Dropped before it is finished it breaks its direction off.
#[derive(Debug)]
pub struct StrandWriter(Arc<Shared>);

/// A new strand whose bytes count against `budget`. The driver makes it move, and belongs into the caller's task.
pub fn strand(budget: &Budget) -> (StrandReader, StrandWriter, Driver) {
    let shared = Arc::new(Shared { state: Mutex::default(), budget: budget.clone() });
    (StrandReader(shared.clone()), StrandWriter(shared.clone()), Driver::new(shared))
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    budget: Budget,
}

#[derive(Debug, Default)]
struct State {
    strand: Strand,
    /// Why it will not go on.
    failed: Option<Arc<str>>,
    /// Bytes that the budget knows of.
    charged: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
    receiving: Option<Waker>,
    sending: Option<Waker>,
    settling: Option<Waker>,
}

impl Shared {
    /// Changes the state, then tells the budget and everybody who may go on.
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let changed = change(&mut state);
        let held = state.strand.unread() + state.strand.unconfirmed();
        self.budget.recharge(&mut state.charged, held);
        state.wake(&self.budget);
        changed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let mut charged = self.lock().charged;
        self.budget.recharge(&mut charged, 0);
    }
}

impl State {
    fn wake(&mut self, budget: &Budget) {
        let over = self.failed.is_some();
        let readable = over || self.strand.is_readable();
        let writable = over || self.strand.is_closed() || self.room(budget) > 0;
        let receives = over || self.receives(budget);
        let sends = over || self.strand.is_due() || self.strand.is_over();
        wake(&mut self.reader, readable);
        wake(&mut self.writer, writable);
        wake(&mut self.receiving, receives);
        wake(&mut self.sending, sends);
        wake(&mut self.settling, self.strand.is_owing());
    }

    /// Bytes that the application may write.
    fn room(&self, budget: &Budget) -> usize {
        let held = self.strand.unconfirmed();
        if budget.is_full() { self.strand.room().min(FLOOR.saturating_sub(held)) } else { self.strand.room() }
    }

    /// Whether the leg is to be read. What makes room for a writer that waits comes on the leg too, behind data: an application that
    /// reads only once it has written would wait for itself.
    fn receives(&self, budget: &Budget) -> bool {
        !budget.is_full() || self.strand.unread() < FLOOR || (budget.heeds_writers() && self.writer.is_some())
    }

    fn fault(&self) -> Option<io::Error> {
        self.failed.as_ref().map(|words| io::Error::new(io::ErrorKind::ConnectionAborted, words.to_string()))
    }

    fn poll_write(&mut self, cx: &Context<'_>, budget: &Budget, write: impl FnOnce(&mut Strand, usize)) -> Poll<io::Result<()>> {
        if let Some(fault) = self.fault() {
            return Poll::Ready(Err(fault));
        }
        if self.strand.is_closed() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        match self.room(budget) {
            0 => {
                self.writer = Some(cx.waker().clone());
                Poll::Pending
            }
            room => {
                write(&mut self.strand, room);
                Poll::Ready(Ok(()))
            }
        }
    }

    /// `nothing` is why nothing could be read.
    fn end(&mut self, cx: &Context<'_>, nothing: &Read) -> Poll<io::Result<()>> {
        match nothing {
            Read::End => Poll::Ready(Ok(())),
            Read::Broken => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Read::Bytes(_) | Read::Nothing => match self.fault() {
                Some(fault) => Poll::Ready(Err(fault)),
                None => {
                    self.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            },
        }
    }
}

fn wake(waker: &mut Option<Waker>, now: bool) {
    if now && let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl StrandReader {
    /// The next bytes, uncopied; `None` at the orderly end.
    pub async fn chunk(&mut self) -> io::Result<Option<Bytes>> {
        poll_fn(|cx| {
            self.0.with(|state| match state.strand.read(CHUNK) {
                Read::Bytes(bytes) => Poll::Ready(Ok(Some(bytes))),
                nothing => state.end(cx, &nothing).map_ok(|()| None),
            })
        })
        .await
    }
}

impl StrandWriter {
    /// Takes `bytes`, uncopied, as there is room. Not cancel safe: part of them may be taken.
    pub async fn send(&mut self, mut bytes: Bytes) -> io::Result<()> {
        while !bytes.is_empty() {
            poll_fn(|cx| self.poll_push(cx, &mut bytes)).await?;
        }
        Ok(())
    }

    fn poll_push(&self, cx: &Context<'_>, bytes: &mut Bytes) -> Poll<io::Result<()>> {
        let push = |strand: &mut Strand, room| strand.push(bytes.split_to(bytes.len().min(room)));
        self.0.with(|state| state.poll_write(cx, &self.0.budget, push))
    }

    /// Says that no more will come.
    pub fn finish(&mut self) {
        self.0.with(|state| state.strand.finish());
    }
}

impl AsyncRead for StrandReader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let room = buffer.initialize_unfilled();
        let read = self.0.with(|state| match state.strand.read_into(room) {
            Ok(copied) => Poll::Ready(Ok(copied)),
            Err(nothing) => state.end(cx, &nothing).map_ok(|()| 0),
        });
        read.map_ok(|copied| buffer.advance(copied))
    }
}

impl AsyncWrite for StrandWriter {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut written = 0;
        let polled = self.0.with(|state| {
            state.poll_write(cx, &self.0.budget, |strand, room| {
                written = room.min(bytes.len());
                strand.append(&bytes[..written]);
            })
        });
        polled.map_ok(|()| written)
    }

    /// The driver sends at once whatever there is.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish();
        Poll::Ready(Ok(()))
    }
}

impl Drop for StrandReader {
    fn drop(&mut self) {
        self.0.with(|state| state.strand.discard());
    }
}

impl Drop for StrandWriter {
    fn drop(&mut self) {
        self.0.with(|state| {
            if !state.strand.is_closed() {
                state.strand.reset();
            }
        });
    }
}

#[cfg(test)]
mod tests;

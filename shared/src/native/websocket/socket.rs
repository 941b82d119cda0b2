//! One stream over one WebSocket: binary messages both ways, an empty one for the end of a direction.

mod reader;
mod writer;

pub(in crate::native) use reader::Reader;
pub(in crate::native) use writer::Writer;

use super::{FAREWELL, LINGER, Wire, life::Life};
use crate::tunnel::frame::clipped;
use bytes::Bytes;
use futures_util::{Sink, SinkExt, StreamExt};
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};
use tokio_tungstenite::tungstenite::{Error, Message, protocol::CloseFrame};
use tokio_util::sync::CancellationToken;

/// What both halves share. One that is dropped unfinished breaks it for both sides.
#[derive(Debug)]
pub(super) struct Socket {
    state: Mutex<State>,
    /// Fires when the socket is broken, or its tunnel ends.
    cut: CancellationToken,
    life: Arc<Life>,
    /// Its end is the tunnel's end.
    control: bool,
}

#[derive(Debug)]
struct State {
    /// Gone once it is broken.
    wire: Option<Wire>,
    /// Our end is said.
    finished: bool,
    /// The other side's end is heard.
    ended: bool,
}

/// Bytes that `wire` has brought so far.
fn bytes_of(wire: &Wire) -> u64 {
    wire.get_ref().get_ref().0.brought()
}

/// What a socket has to say.
enum Heard {
    Bytes(Bytes),
    End,
}

impl Socket {
    /// Both halves of `wire`; `first` was read from it already.
    pub(super) fn halves(wire: Wire, first: Option<Bytes>, life: &Arc<Life>, control: bool) -> (Reader, Writer, Arc<Self>) {
        let ended = first.as_ref().is_some_and(Bytes::is_empty);
        let state = Mutex::new(State { wire: Some(wire), finished: false, ended });
        let socket = Arc::new(Self { state, cut: life.over().child_token(), life: Arc::clone(life), control });
        (Reader::new(Arc::clone(&socket), first.unwrap_or_default()), Writer::new(Arc::clone(&socket)), socket)
    }

    /// Ends the tunnel whose control stream this is: says why, and waits a bounded time until that has left.
    pub(super) fn farewell(self: Arc<Self>, frame: CloseFrame) {
        let life = Arc::clone(&self.life);
        let wire = self.lock().wire.take();
        self.life.end(&frame.reason);
        if let Some(mut wire) = wire {
            life.outlive(FAREWELL, async move {
                // Best effort: the other side also sees the socket end.
                let _ = wire.send(Message::Close(Some(frame))).await;
                // Closing with something unread would take the words back.
                while let Some(Ok(_)) = wire.next().await {}
            });
        }
    }

    /// What comes next.
    fn poll_heard(&self, cx: &mut Context<'_>) -> Poll<io::Result<Heard>> {
        let heard = loop {
            let mut state = self.lock();
            let Some(wire) = &mut state.wire else { return Poll::Ready(Err(self.fault())) };
            let before = bytes_of(wire);
            let polled = wire.poll_next_unpin(cx);
            self.life.heard(bytes_of(wire) - before);
            break match ready!(polled) {
                Some(Ok(Message::Binary(bytes))) if bytes.is_empty() => {
                    state.ended = true;
                    Ok(Heard::End)
                }
                Some(Ok(Message::Binary(bytes))) => Ok(Heard::Bytes(bytes)),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Close(Some(frame)))) => Err(clipped(&format!("closed by peer: {}", frame.reason))),
                Some(Err(Error::Capacity(fault))) => Err(format!("the peer broke the tunnel protocol: {fault}")),
                Some(Err(Error::Io(fault))) => Err(fault.to_string()),
                Some(Ok(_) | Err(_)) | None => Err("reset by peer".to_owned()),
            };
        };
        Poll::Ready(heard.map_err(|words| self.broke(&words)))
    }

    /// Waits until a message may be sent.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_wire(cx, Sink::<Message>::poll_ready)
    }

    /// Waits until all that was sent has left.
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_wire(cx, Sink::<Message>::poll_flush)
    }

    fn poll_wire(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut Wire>, &mut Context<'_>) -> Poll<Result<(), Error>>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        let Some(wire) = &mut state.wire else { return Poll::Ready(Err(self.fault())) };
        let done = ready!(poll(Pin::new(wire), cx));
        drop(state);
        Poll::Ready(done.map_err(|fault| self.broke(&fault.to_string())))
    }

    /// Puts a message in line.
    fn put(&self, bytes: Bytes) -> io::Result<()> {
        let mut state = self.lock();
        let Some(wire) = &mut state.wire else { return Err(self.fault()) };
        let put = Pin::new(wire).start_send(Message::Binary(bytes));
        drop(state);
        put.map_err(|fault| self.broke(&fault.to_string()))
    }

    /// Says our end. What cannot leave at once leaves with a task of the tunnel's.
    fn finish(self: &Arc<Self>) {
        self.lock().finished = true;
        // Fails only for a socket that is broken, which is an end too.
        if self.put(Bytes::new()).is_err() {
            return;
        }
        if self.poll_flush(&mut Context::from_waker(std::task::Waker::noop())).is_pending() {
            let socket = Arc::clone(self);
            self.life.spawn(async move {
                let _ = poll_fn(|cx| socket.poll_flush(cx)).await;
            });
        }
    }

    /// Ends both directions, without an end.
    fn reset(&self) {
        self.broke("reset by us");
    }

    fn broke(&self, words: &str) -> io::Error {
        drop(self.lock().wire.take());
        if self.control {
            self.life.end(words);
        }
        self.cut.cancel();
        if self.life.over().is_cancelled() { self.life.fault() } else { io::Error::new(io::ErrorKind::ConnectionReset, words) }
    }

    fn fault(&self) -> io::Error {
        if self.life.over().is_cancelled() { self.life.fault() } else { io::ErrorKind::ConnectionReset.into() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Socket {
    /// A socket closed with something unread would take back what the other side has not read yet.
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let (finished, ended) = (state.finished, state.ended);
        if let Some(mut wire) = state.wire.take()
            && finished
            && !ended
        {
            self.life.outlive(LINGER, async move {
                while let Some(Ok(message)) = wire.next().await {
                    if matches!(message, Message::Binary(bytes) if bytes.is_empty()) {
                        break;
                    }
                }
            });
        }
    }
}

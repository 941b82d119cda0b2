//! A counted queue between a connection's reader, which must never wait, and one slow consumer.

pub mod brake;
pub mod inflow;
mod stretch;

use super::reserve::{Count, Reserve};
use bytes::{Buf, Bytes, BytesMut};
use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

/// Smaller pieces are gathered in chunks of this size, so that a trickle costs no allocation a piece and holds no more
/// memory than is counted; larger ones are kept as they come, uncopied.
const CHUNK: usize = 4096;

/// How many bytes all back-logs of one connection hold.
#[derive(Clone, Debug, Default)]
pub struct Meter(Count);

/// The reader's end. Dropping it without [`Inlet::finish`] breaks the back-log off.
#[derive(Debug)]
pub struct Inlet(Arc<Shared>);

/// The consumer's end: an [`AsyncBufRead`]. Dropping it discards what is held and what still comes.
#[derive(Debug)]
pub struct Outlet {
    shared: Arc<Shared>,
    current: Bytes,
}

/// A back-log that counts its bytes in `meter`.
pub fn backlog(meter: &Meter) -> (Inlet, Outlet) {
    let shared = Arc::new(Shared { state: Mutex::default(), own: Meter::default(), meter: meter.clone() });
    (Inlet(shared.clone()), Outlet { shared, current: Bytes::new() })
}

impl Meter {
    /// Of bytes that count in `reserve` too.
    pub fn within(reserve: &Reserve) -> Self {
        Self(Count::within(reserve))
    }

    /// Bytes taken in by any back-log of this connection and not yet consumed.
    pub fn held(&self) -> usize {
        self.0.held()
    }

    /// Whether all connections together hold all that they may.
    fn is_pressed(&self) -> bool {
        self.0.is_pressed()
    }

    /// At how many held bytes to slow down, where that is `mark` as long as all connections together may hold more, and `least`
    /// otherwise.
    fn mark(&self, mark: usize, least: usize) -> usize {
        if self.0.is_pressed() { mark.min(least) } else { mark }
    }

    fn add(&self, n: usize) {
        self.0.add(n);
    }

    fn sub(&self, n: usize) {
        self.0.sub(n);
    }
}

impl Inlet {
    /// Takes `data` in, whatever is held already; bounding that is the caller's (see [`inflow`]).
    pub fn push(&self, data: Bytes) {
        let mut state = self.0.lock();
        if state.discarding || state.end.is_some() {
            return;
        }
        self.0.count(data.len());
        state.append(data);
        state.wake();
    }

    /// Bytes that this back-log holds.
    pub fn held(&self) -> usize {
        self.0.own.held()
    }

    /// Whether the consumer is gone: what is pushed is discarded.
    pub fn is_abandoned(&self) -> bool {
        self.0.lock().discarding
    }

    /// No more will come: the consumer reads what is held, then end of file.
    pub fn finish(&self) {
        self.0.end(End::Finished);
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        self.0.end(End::Broken);
    }
}

impl Outlet {
    /// The next bytes, uncopied and from then on uncounted; `None` at the end.
    pub async fn chunk(&mut self) -> io::Result<Option<Bytes>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_fill_buf(cx).map_ok(drop)).await?;
        let chunk = std::mem::take(&mut self.current);
        self.shared.discount(chunk.len());
        Ok((!chunk.is_empty()).then_some(chunk))
    }
}

impl AsyncBufRead for Outlet {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.current.is_empty() {
            this.current = ready!(this.shared.poll_next(cx))?;
        }
        Poll::Ready(Ok(&this.current))
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        self.current.advance(amount);
        self.shared.discount(amount);
    }
}

impl AsyncRead for Outlet {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let held = ready!(self.as_mut().poll_fill_buf(cx))?;
        let amount = held.len().min(buf.remaining());
        buf.put_slice(held.get(..amount).unwrap_or_default());
        self.consume(amount);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.discarding = true;
        let held = state.drain().map(|chunk| chunk.len()).sum::<usize>();
        self.shared.discount(held + self.current.len());
    }
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    own: Meter,
    /// All of the connection.
    meter: Meter,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Bytes>,
    /// Small pieces behind the last chunk.
    gathered: BytesMut,
    end: Option<End>,
    discarding: bool,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Finished,
    Broken,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, n: usize) {
        self.own.add(n);
        self.meter.add(n);
    }

    fn discount(&self, n: usize) {
        self.own.sub(n);
        self.meter.sub(n);
    }

    fn end(&self, end: End) {
        let mut state = self.lock();
        state.end.get_or_insert(end);
        state.wake();
    }

    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let mut state = self.lock();
        match (state.pop(), state.end) {
            (Some(chunk), _) => Poll::Ready(Ok(chunk)),
            (None, Some(End::Finished)) => Poll::Ready(Ok(Bytes::new())),
            (None, Some(End::Broken)) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            (None, None) => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl State {
    fn append(&mut self, data: Bytes) {
        if data.len() >= CHUNK {
            self.close();
            self.chunks.push_back(data);
        } else {
            self.gather(&data);
        }
    }

    fn gather(&mut self, piece: &[u8]) {
        if self.gathered.capacity() - self.gathered.len() < piece.len() {
            self.close();
            self.gathered = BytesMut::with_capacity(CHUNK);
        }
        self.gathered.extend_from_slice(piece);
    }

    /// What is gathered becomes the last chunk.
    fn close(&mut self) {
        if !self.gathered.is_empty() {
            self.chunks.push_back(std::mem::take(&mut self.gathered).freeze());
        }
    }

    fn pop(&mut self) -> Option<Bytes> {
        if self.chunks.is_empty() {
            self.close();
        }
        self.chunks.pop_front()
    }

    fn drain(&mut self) -> impl Iterator<Item = Bytes> {
        self.close();
        self.chunks.drain(..)
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncBufReadExt, AsyncReadExt};

    #[tokio::test]
    async fn all_bytes_come_out_in_order_then_end_of_file() {
        let meter = Meter::default();
        let (inlet, mut outlet) = backlog(&meter);
        let sent: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
        for piece in sent.chunks(777) {
            inlet.push(Bytes::copy_from_slice(piece));
        }
        assert_eq!(meter.held(), sent.len());
        inlet.finish();
        let mut received = Vec::new();
        outlet.read_to_end(&mut received).await.unwrap();
        assert!(received == sent);
        assert_eq!(meter.held(), 0);
    }

    #[tokio::test]
    async fn small_pieces_share_a_chunk() {
        let (inlet, mut outlet) = backlog(&Meter::default());
        for _ in 0..CHUNK / 2 {
            inlet.push(Bytes::from_static(b"ab"));
        }
        assert_eq!(outlet.fill_buf().await.unwrap().len(), CHUNK);
    }

    #[tokio::test]
    async fn pieces_of_any_size_stay_in_order_and_large_ones_are_not_copied() {
        let (inlet, mut outlet) = backlog(&Meter::default());
        let large = Bytes::from(vec![2; CHUNK]);
        for piece in [Bytes::from_static(&[1]), large.clone(), Bytes::from_static(&[3])] {
            inlet.push(piece);
        }
        assert_eq!(outlet.chunk().await.unwrap().as_deref(), Some(&[1][..]));
        assert_eq!(outlet.chunk().await.unwrap().unwrap().as_ptr(), large.as_ptr());
        assert_eq!(outlet.chunk().await.unwrap().as_deref(), Some(&[3][..]));
    }

    #[tokio::test]
    async fn bytes_in_the_consumers_hands_stay_counted() {
        let meter = Meter::default();
        let (inlet, mut outlet) = backlog(&meter);
        inlet.push(Bytes::from_static(b"abcdef"));
        assert_eq!(outlet.fill_buf().await.unwrap(), b"abcdef");
        assert_eq!(meter.held(), 6);
        outlet.consume(4);
        assert_eq!((meter.held(), inlet.held()), (2, 2));
        assert_eq!(outlet.fill_buf().await.unwrap(), b"ef");
    }

    #[tokio::test]
    async fn a_waiting_consumer_is_woken() {
        let (inlet, mut outlet) = backlog(&Meter::default());
        let mut buf = [0; 3];
        let (read, ()) = tokio::join!(outlet.read_exact(&mut buf), async { inlet.push(Bytes::from_static(b"now")) });
        read.unwrap();
        assert_eq!(&buf, b"now");
    }

    #[tokio::test]
    async fn a_lost_inlet_is_an_error_after_what_was_held() {
        let (inlet, mut outlet) = backlog(&Meter::default());
        inlet.push(Bytes::from_static(b"rest"));
        drop(inlet);
        let mut received = Vec::new();
        let fault = outlet.read_to_end(&mut received).await.unwrap_err();
        assert_eq!((received.as_slice(), fault.kind()), (&b"rest"[..], io::ErrorKind::ConnectionReset));
    }

    #[tokio::test]
    async fn a_lost_outlet_frees_and_discards() {
        let meter = Meter::default();
        let (inlet, mut outlet) = backlog(&meter);
        inlet.push(vec![1; 10_000].into());
        outlet.fill_buf().await.unwrap();
        outlet.consume(10);
        assert!(!inlet.is_abandoned());
        drop(outlet);
        assert!(inlet.is_abandoned());
        inlet.push(vec![2; 10_000].into());
        assert_eq!(meter.held(), 0);
    }
}

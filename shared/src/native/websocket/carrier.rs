//! A tunnel over WebSockets: the control stream's, which is the tunnel, and one for each other stream.

use super::{
    Wire,
    caller::Caller,
    exporter,
    life::Life,
    pool::{Holders, Pool},
    socket::{Reader, Socket, Writer},
};
use crate::tunnel::{EXPORTER, MAX_TEXT, ticket::Ticket};
use std::{
    future::pending,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

/// Codes of RFC 6455 for private use begin here.
const PRIVATE: u16 = 4000;
/// Longest words of a Close frame (RFC 6455 section 5.5: 125 bytes, two of which are the code).
const MAX_WORDS: usize = 123;
const _: () = assert!(MAX_WORDS <= MAX_TEXT);

/// The tunnel; cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::native) struct Carrier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    life: Arc<Life>,
    peer: SocketAddr,
    exporter: [u8; EXPORTER],
    control: Arc<Socket>,
    /// The control stream, until it is taken.
    first: Mutex<Option<(Reader, Writer)>>,
    end: End,
}

#[derive(Debug)]
enum End {
    Agent(Arc<Caller>),
    Daemon(Arc<Pool>, #[allow(dead_code, reason = "held: the door waits for it")] TaskTrackerToken),
}

impl Carrier {
    /// The agent's end.
    pub(super) fn dialled(wire: Wire, caller: Caller) -> Result<Self, rustls::Error> {
        Self::new(wire, TaskTracker::new(), End::Agent(Arc::new(caller)))
    }

    /// The daemon's end.
    pub(super) fn accepted(wire: Wire, tunnels: &TaskTracker, holders: Holders) -> Result<Self, rustls::Error> {
        let end = End::Daemon(Arc::new(Pool::new(holders)), tunnels.token());
        Self::new(wire, tunnels.clone(), end)
    }

    fn new(wire: Wire, tasks: TaskTracker, end: End) -> Result<Self, rustls::Error> {
        let exporter = exporter(wire.get_ref())?;
        let peer = wire.get_ref().get_ref().0.get_ref().peer_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
        let life = Arc::new(Life::new(tasks));
        let (reader, writer, control) = Socket::halves(wire, None, &life, true);
        Ok(Self(Arc::new(Inner { life, peer, exporter, control, first: Mutex::new(Some((reader, writer))), end })))
    }

    pub(in crate::native) async fn open(&self) -> io::Result<(Reader, Writer)> {
        match &self.0.end {
            End::Agent(_) => self.first().ok_or_else(|| io::Error::other("an agent opens the control stream only")),
            End::Daemon(pool, _) => {
                let wire = self.while_it_lasts(pool.take()).await?;
                let (reader, writer, _) = Socket::halves(wire, None, &self.0.life, false);
                Ok((reader, writer))
            }
        }
    }

    pub(in crate::native) async fn accept(&self) -> io::Result<(Reader, Writer)> {
        match &self.0.end {
            End::Daemon(..) => match self.first() {
                Some(control) => Ok(control),
                None => self.while_it_lasts(pending()).await,
            },
            End::Agent(caller) => {
                let (wire, first) = self.while_it_lasts(caller.taken()).await?;
                let (reader, writer, _) = Socket::halves(wire, Some(first), &self.0.life, false);
                Ok((reader, writer))
            }
        }
    }

    pub(in crate::native) fn exporter(&self) -> [u8; EXPORTER] {
        self.0.exporter
    }

    pub(in crate::native) fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    pub(in crate::native) async fn closed(&self) -> io::Error {
        self.0.life.over().cancelled().await;
        self.0.life.fault()
    }

    pub(in crate::native) fn close(&self, code: u32, words: &str) {
        let code = PRIVATE.saturating_add(u16::try_from(code).unwrap_or_default());
        let end = words.floor_char_boundary(MAX_WORDS);
        let frame = CloseFrame { code: CloseCode::Library(code), reason: words[..end].into() };
        Arc::clone(&self.0.control).farewell(frame);
    }

    pub(in crate::native) fn received(&self) -> u64 {
        self.0.life.received()
    }

    pub(in crate::native) async fn asked(&self) -> Ticket {
        match &self.0.end {
            End::Agent(_) => pending().await,
            End::Daemon(pool, _) => pool.asked().await,
        }
    }

    pub(in crate::native) fn dial(&self, ticket: Ticket) -> bool {
        match &self.0.end {
            End::Daemon(..) => false,
            End::Agent(caller) => {
                self.0.life.spawn(Arc::clone(caller).fetch(ticket));
                true
            }
        }
    }

    fn first(&self) -> Option<(Reader, Writer)> {
        self.0.first.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn while_it_lasts<T>(&self, wait: impl Future<Output = Option<T>>) -> io::Result<T> {
        let over = self.0.life.over();
        over.run_until_cancelled(wait).await.flatten().ok_or_else(|| self.0.life.fault())
    }
}

//! The daemon's TCP door: TLS, one HTTP request, and a WebSocket for those who ask for the right one.

#[cfg(test)]
mod tests;

use super::{
    CONTROL_READ_BUFFER, Carrier, Connection, READ_BUFFER, WebSocketFault, Wire, config,
    pool::Holders,
    request::{self, Asked},
    tuned,
};
use crate::{
    native::{identity::Identity, tls, tunnel::Tunnel},
    tunnel::{ALPN_HTTP, ticket::Ticket},
};
use bytes::BytesMut;
use std::{fmt, io, net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};
use tokio_util::task::TaskTracker;

/// A TLS connection begins with a record of this type (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 22;

/// Where agents come in over TCP; cheap to clone.
#[derive(Clone)]
pub struct Door {
    listener: Arc<TcpListener>,
    tls: TlsAcceptor,
    holders: Holders,
    tunnels: TaskTracker,
}

/// Somebody who knocks, before any handshake.
#[derive(Debug)]
pub struct Knock {
    stream: TcpStream,
    peer: SocketAddr,
    door: Door,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Door({:?})", self.listener)
    }
}

impl Door {
    /// Takes those who call `listener`, as `identity`.
    pub fn new(listener: TcpListener, identity: &Identity) -> Result<Self, WebSocketFault> {
        let tls = TlsAcceptor::from(Arc::new(tls::server(identity, ALPN_HTTP)?));
        Ok(Self { listener: Arc::new(listener), tls, holders: Holders::default(), tunnels: TaskTracker::new() })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next who knocks. A wait that is given up loses nobody.
    pub async fn accept(&self) -> io::Result<Knock> {
        let (stream, peer) = self.listener.accept().await?;
        Ok(Knock { stream, peer, door: self.clone() })
    }

    /// Waits until the last words of all tunnels are sent.
    pub async fn wait_idle(&self) {
        self.tunnels.close();
        self.tunnels.wait().await;
    }
}

impl Knock {
    /// Where it comes from.
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Waits until something was said, or nothing will be. Has no bound of its own.
    pub async fn speaks(&self) -> io::Result<()> {
        self.stream.peek(&mut [0]).await.map(drop)
    }

    /// Lets it in, as far as TLS and HTTP go: `None` for the data socket of a tunnel that is in. Has no bound of its own.
    pub async fn admit(self) -> Result<Option<Tunnel>, WebSocketFault> {
        let mut first = [0];
        if self.stream.peek(&mut first).await.map_err(WebSocketFault::Way)? == 0 || first != [TLS_HANDSHAKE] {
            return plain(self.stream).await;
        }
        let stream = tuned(self.stream).map_err(WebSocketFault::Way)?;
        let mut stream = self.door.tls.accept(stream).await.map_err(WebSocketFault::Tls)?;
        let (asked, rest) = request::read(&mut stream).await?;
        match asked {
            Asked::Tunnel(answer) => {
                let wire = upgrade(stream, &answer, rest, CONTROL_READ_BUFFER).await?;
                let carrier = Carrier::accepted(wire, &self.door.tunnels, self.door.holders)?;
                Ok(Some(Tunnel::accepted(carrier)))
            }
            Asked::Stream(ticket, answer) => self.door.deliver(&ticket, stream, &answer, rest).await,
            Asked::Other(answer, words) => refuse(stream, answer, words).await,
        }
    }
}

impl Door {
    async fn deliver(
        &self,
        ticket: &Ticket,
        stream: TlsStream<Connection>,
        answer: &[u8],
        rest: BytesMut,
    ) -> Result<Option<Tunnel>, WebSocketFault> {
        if let Some(pool) = self.holders.redeem(ticket, Instant::now()).and_then(|pool| pool.upgrade()) {
            pool.arrived(upgrade(stream, answer, rest, READ_BUFFER).await?);
            return Ok(None);
        }
        refuse(stream, request::NO_TICKET, "its ticket is not good, or not any more").await
    }
}

/// Health checks and browsers that speak no TLS get an answer too, and nothing else.
async fn plain(mut stream: TcpStream) -> Result<Option<Tunnel>, WebSocketFault> {
    match request::read(&mut stream).await? {
        (Asked::Other(answer, words), _) => refuse(stream, answer, words).await,
        _ => refuse(stream, request::BAD, "no TLS").await,
    }
}

async fn refuse(
    mut stream: impl AsyncWrite + Unpin,
    answer: &str,
    words: &'static str,
) -> Result<Option<Tunnel>, WebSocketFault> {
    stream.write_all(answer.as_bytes()).await.map_err(WebSocketFault::Way)?;
    stream.shutdown().await.map_err(WebSocketFault::Way)?;
    Err(WebSocketFault::Request(words))
}

async fn upgrade(
    mut stream: TlsStream<Connection>,
    answer: &[u8],
    rest: BytesMut,
    buffer: usize,
) -> Result<Wire, WebSocketFault> {
    stream.write_all(answer).await.map_err(WebSocketFault::Way)?;
    stream.flush().await.map_err(WebSocketFault::Way)?;
    Ok(WebSocketStream::from_partially_read(stream.into(), rest.into(), Role::Server, Some(config(buffer))).await)
}

//! The agent's side: dials the control socket, then a data socket for each ticket.

use super::{
    CONTROL_READ_BUFFER, DIAL_TIMEOUT, MAX_DIALS, MAX_SHELF, READ_BUFFER, Way, WebSocketFault, Wire, config, shelf::Shelf, tuned,
};
use crate::{
    native::{
        identity::PublicIdentity,
        tls::{self, SERVER_NAME},
    },
    tunnel::{ALPN_HTTP, PATH_STREAM, PATH_TUNNEL, ticket::Ticket},
};
use bytes::Bytes;
use futures_util::StreamExt;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::{sync::Semaphore, time::timeout};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    client_async_with_config,
    tungstenite::{
        ClientRequestBuilder, Message,
        http::{Uri, header::AUTHORIZATION},
    },
};
use tracing::debug;

/// How one tunnel's sockets are dialled.
pub(super) struct Caller {
    way: Way,
    /// One for all sockets: the later ones resume the first one's TLS session.
    tls: TlsConnector,
    dials: Semaphore,
    taken: Shelf<(Wire, Bytes)>,
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Caller({:?})", self.way)
    }
}

impl Caller {
    /// Dials the control socket.
    pub(super) async fn call(way: Way, expected: PublicIdentity) -> Result<(Self, Wire), WebSocketFault> {
        let tls = TlsConnector::from(Arc::new(tls::client(expected, ALPN_HTTP)?));
        let caller = Self { way, tls, dials: Semaphore::new(MAX_DIALS), taken: Shelf::new(MAX_SHELF) };
        let wire = caller.dial(None).await?;
        Ok((caller, wire))
    }

    /// The next data socket that the daemon made use of, with what it said first.
    pub(super) async fn taken(&self) -> Option<(Wire, Bytes)> {
        self.taken.take().await
    }

    /// Dials the socket that `ticket` opens, and holds it until the daemon makes use of it.
    pub(super) async fn fetch(self: Arc<Self>, ticket: Ticket) {
        let Ok(_dialling) = self.dials.try_acquire() else { return debug!("too many sockets are asked for at a time") };
        match self.dial(Some(ticket)).await {
            Ok(mut wire) => {
                if let Some(first) = first(&mut wire).await {
                    // One too many is closed again.
                    drop(self.taken.put((wire, first)));
                }
            }
            Err(fault) => debug!(%fault, "no data socket"),
        }
    }

    async fn dial(&self, ticket: Option<Ticket>) -> Result<Wire, WebSocketFault> {
        timeout(DIAL_TIMEOUT, self.connect(ticket)).await.unwrap_or(Err(WebSocketFault::Slow))
    }

    async fn connect(&self, ticket: Option<Ticket>) -> Result<Wire, WebSocketFault> {
        let stream = self.way.connect().await.and_then(tuned).map_err(WebSocketFault::Way)?;
        let name = ServerName::try_from(SERVER_NAME).map_err(|_| rustls::Error::General(SERVER_NAME.into()))?;
        let stream = self.tls.connect(name, stream).await.map_err(WebSocketFault::Tls)?;
        let (path, buffer) = if ticket.is_some() { (PATH_STREAM, READ_BUFFER) } else { (PATH_TUNNEL, CONTROL_READ_BUFFER) };
        let uri = Uri::builder().scheme("wss").authority(SERVER_NAME).path_and_query(path).build();
        let mut request = ClientRequestBuilder::new(uri.map_err(tokio_tungstenite::tungstenite::Error::from)?);
        if let Some(ticket) = ticket {
            request = request.with_header(AUTHORIZATION.as_str(), format!("Bearer {}", ticket.to_hex()));
        }
        Ok(client_async_with_config(request, stream.into(), Some(config(buffer))).await?.0)
    }
}

/// What a data socket says first; `None` where it ends before.
async fn first(wire: &mut Wire) -> Option<Bytes> {
    loop {
        match wire.next().await? {
            Ok(Message::Binary(bytes)) => return Some(bytes),
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            Ok(_) | Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::{identity::Identity, websocket::Door};
    use rustls::HandshakeKind;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsStream;

    #[tokio::test]
    async fn later_sockets_resume_the_first_ones_session() {
        let identity = Identity::from_seed(&[5; 32]);
        let door = Door::new(TcpListener::bind("127.0.0.1:0").await.unwrap(), &identity).unwrap();
        let way = Way::Straight(door.local_addr().unwrap());
        let takes = async || door.accept().await.unwrap().admit().await.unwrap();
        let (called, _tunnel) = tokio::join!(Caller::call(way, identity.public()), takes());
        let (caller, first) = called.unwrap();
        let (second, _tunnel) = tokio::join!(caller.dial(None), takes());
        let kinds = [first, second.unwrap()].map(|wire| match wire.get_ref() {
            TlsStream::Client(stream) => stream.get_ref().1.handshake_kind(),
            TlsStream::Server(_) => None,
        });
        assert_eq!(kinds, [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)]);
    }
}

//! TCP and Unix sockets as one kind of thing: what listens, and what is connected.

use super::{
    lane::Lane,
    unix::{self, Claim, Nook},
};
use crate::ssh::aside::soon;
use std::{io, net::SocketAddr};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// A connected socket.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A listening socket; what it has on disk goes with it.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix { listener: UnixListener, claim: Claim },
    Agent { listener: UnixListener, nook: Nook },
}

impl Listener {
    /// The next that comes.
    pub(super) async fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // As sshd; it fails only for a peer that has gone, which the first read tells.
                let _ = stream.set_nodelay(true);
                Ok(Socket::Tcp(stream))
            }
            Self::Unix { listener, .. } | Self::Agent { listener, .. } => Ok(Socket::Unix(listener.accept().await?.0)),
        }
    }

    /// Listens no more; what it has on disk is gone afterwards.
    pub(super) async fn leave(self) {
        match self {
            Self::Tcp(_) => {}
            Self::Unix { listener, claim } => {
                drop(listener);
                claim.release().await;
            }
            Self::Agent { listener, nook } => {
                drop(listener);
                let _stays = soon(unix::own(), || drop(nook)).await;
            }
        }
    }
}

impl Socket {
    /// Whose it is, where that is an address.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// Carries bytes between it and `lane` until both have ended.
    pub(super) async fn carry(self, lane: Lane) {
        match self {
            Self::Tcp(stream) => lane.carry(stream.into_split()).await,
            Self::Unix(stream) => lane.carry(stream.into_split()).await,
        }
    }
}

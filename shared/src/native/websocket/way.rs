//! The way to a daemon's TCP door: straight, or through an HTTP proxy's CONNECT with basic authentication (RFC 9110
//! section 9.3.6, RFC 7617).

use hyper_util::client::legacy::connect::{HttpConnector, proxy::Tunnel};
use std::{fmt, io, net::SocketAddr};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Uri};
use tower_service::Service;

/// How to get there.
#[derive(Clone, Debug)]
pub enum Way {
    /// An address.
    Straight(SocketAddr),
    /// A proxy, and the daemon's own name and port, which the proxy looks up.
    Through(Proxy, Uri),
}

/// A proxy, and what opens it.
#[derive(Clone)]
pub struct Proxy {
    address: Uri,
    credentials: Option<HeaderValue>,
}

impl Proxy {
    /// At `address`; `credentials` is the value of a `Proxy-Authorization` header.
    pub fn new(address: Uri, credentials: Option<HeaderValue>) -> Self {
        Self { address, credentials }
    }
}

/// Without its credentials.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.address.port_u16().unwrap_or(80);
        write!(f, "{}:{port}", self.address.host().unwrap_or_default())
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let credentials = self.credentials.as_ref().map_or("", |_| "..@");
        write!(f, "Proxy({credentials}{self})")
    }
}

impl Way {
    /// A connection there; whoever waits for it bounds that.
    pub async fn connect(&self) -> io::Result<TcpStream> {
        match self {
            Self::Straight(address) => TcpStream::connect(address).await,
            Self::Through(proxy, target) => through(proxy, target).await.map_err(|fault| told(proxy, &*fault)),
        }
    }
}

async fn through(proxy: &Proxy, target: &Uri) -> Result<TcpStream, Box<dyn std::error::Error + Send + Sync>> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let mut tunnel = Tunnel::new(proxy.address.clone(), connector);
    if let Some(credentials) = &proxy.credentials {
        tunnel = tunnel.with_auth(credentials.clone());
    }
    Ok(tunnel.call(target.clone()).await?.into_inner())
}

/// What the proxy, or the way to it, says.
fn told(proxy: &Proxy, fault: &dyn std::error::Error) -> io::Error {
    let cause = std::iter::successors(Some(fault), |fault| fault.source()).last().unwrap_or(fault);
    io::Error::other(format!("proxy {proxy}: {cause}"))
}

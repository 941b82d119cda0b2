//! An sshd of the image that serves inner connections in the agent's place: bytes both ways, nothing read.

use crate::{
    farewell::farewell,
    limits::{UPSTREAM_BUFFER, UPSTREAM_TIMEOUT},
};
use std::{fmt, io, str::FromStr, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes},
    net::TcpStream,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Where it listens; names are looked up for every connection.
#[derive(Clone, Debug)]
pub struct Upstream(Arc<str>);

/// No `host:port`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a host and a port, such as 127.0.0.1:22 or [::1]:22")]
pub struct NoAddress;

impl FromStr for Upstream {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        let (host, port) = text.rsplit_once(':').ok_or(NoAddress)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host = !host.is_empty() && bare.map_or(!host.contains(':'), |host| !host.is_empty());
        let is_port = port.parse::<u16>().is_ok_and(|port| port != 0);
        (is_host && is_port && !text.contains('/')).then(|| Self(text.into())).ok_or(NoAddress)
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Upstream {
    /// Carries `stream` there and back until both directions have ended, either breaks, or `end` fires. An end of file
    /// is passed on as one, a broken connection as a reset: `stream` is dropped unfinished.
    pub async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin, end: &CancellationToken) {
        let mut server = match end.run_until_cancelled(self.connect()).await {
            Some(Ok(server)) => server,
            Some(Err(fault)) => {
                warn!(upstream = %self, %fault, "the workspace's sshd cannot be reached");
                let words =
                    format!("the workspace's own SSH server does not answer at {self}: start it, or tell the workspace's owner");
                return farewell(stream, &words, end).await;
            }
            None => return,
        };
        let both = copy_bidirectional_with_sizes(&mut stream, &mut server, UPSTREAM_BUFFER, UPSTREAM_BUFFER);
        match end.run_until_cancelled(both).await {
            Some(Ok(_)) => {}
            Some(Err(fault)) => {
                debug!(upstream = %self, %fault, "connection broke");
                reset(&server);
            }
            None => reset(&server),
        }
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let server = timeout(UPSTREAM_TIMEOUT, TcpStream::connect(&*self.0)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        server.set_nodelay(true)?;
        Ok(server)
    }
}

/// A closed socket would tell the server that the client had finished.
fn reset(server: &TcpStream) {
    if let Err(fault) = server.set_zero_linger() {
        debug!(%fault, "the server sees an end in place of a reset");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawbridge_shared::native::severable::Severable;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        net::TcpListener,
    };

    async fn listen() -> (Upstream, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        (listener.local_addr().unwrap().to_string().parse().unwrap(), listener)
    }

    /// The user's end of a connection that is carried, beside what `server` does with the other.
    async fn carried<T>(server: impl AsyncFnOnce(TcpStream) -> T, user: impl AsyncFnOnce(DuplexStream)) -> T {
        let (upstream, listener) = listen().await;
        let (near, far) = duplex(1000);
        let end = CancellationToken::new();
        let served = async { server(listener.accept().await.unwrap().0).await };
        tokio::join!(upstream.serve(near, &end), user(far), served).2
    }

    #[test]
    fn addresses_are_checked() {
        for good in ["127.0.0.1:22", "localhost:2222", "[::1]:22"] {
            assert_eq!(good.parse::<Upstream>().unwrap().to_string(), good);
        }
        for bad in ["", "localhost", ":22", "a:0", "a:ssh", "a:65536", "::1:22", "[]:22", "ssh://a:22"] {
            assert!(bad.parse::<Upstream>().is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn each_half_closes_alone() {
        let echo = async |mut server: TcpStream| {
            server.write_all(b"hello ").await.unwrap();
            let mut all = Vec::new();
            server.read_to_end(&mut all).await.unwrap();
            server.write_all(&all).await.unwrap();
        };
        let user = async |far: DuplexStream| {
            let (mut read, mut write) = tokio::io::split(far);
            let sends = async {
                write.write_all(&[7; 100_000]).await.unwrap();
                write.shutdown().await.unwrap();
            };
            let mut all = Vec::new();
            let reads = read.read_to_end(&mut all);
            let ((), received) = tokio::join!(sends, reads);
            received.unwrap();
            assert!(all.starts_with(b"hello \x07") && all.len() == 100_006);
        };
        carried(echo, user).await;
    }

    #[tokio::test]
    async fn a_user_that_breaks_off_is_a_reset_there() {
        let (upstream, listener) = listen().await;
        let (near, _far) = duplex(1000);
        let cut = CancellationToken::new();
        let server = async {
            let mut server = listener.accept().await.unwrap().0;
            cut.cancel();
            server.read(&mut [0; 8]).await
        };
        let near = Severable::new(near, cut.clone());
        let end = CancellationToken::new();
        let ((), read) = tokio::join!(upstream.serve(near, &end), server);
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn the_end_of_the_agent_is_a_reset_there() {
        let (upstream, listener) = listen().await;
        let (near, _far) = duplex(1000);
        let end = CancellationToken::new();
        let server = async {
            let mut server = listener.accept().await.unwrap().0;
            end.cancel();
            server.read(&mut [0; 8]).await
        };
        let ((), read) = tokio::join!(upstream.serve(near, &end), server);
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn an_sshd_that_is_not_there_is_told() {
        let (upstream, listener) = listen().await;
        drop(listener);
        let (near, mut far) = duplex(1000);
        let mut heard = Vec::new();
        let listen = async {
            far.read_to_end(&mut heard).await.unwrap();
            drop(far);
        };
        let end = CancellationToken::new();
        tokio::join!(upstream.serve(near, &end), listen);
        assert!(String::from_utf8_lossy(&heard).contains(&format!("does not answer at {upstream}")));
    }
}

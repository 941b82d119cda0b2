//! From names to connections: the system's resolver, every address tried, all of it within a time.

use super::denied::Denied;
use crate::ssh::limits;
use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpStream, sync::Semaphore, task::spawn_blocking, time::timeout};

/// The look-ups of all connections; cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::ssh) struct Resolver(Arc<Semaphore>);

impl Default for Resolver {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(limits::LOOK_UPS)))
    }
}

impl Resolver {
    /// A connection to `port` of `host` as this machine sees it, by the first of its addresses that takes one.
    pub(super) async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, Denied> {
        self.connect_within(limits::CONNECT, host, port).await
    }

    async fn connect_within(&self, time: Duration, host: &str, port: u16) -> Result<TcpStream, Denied> {
        let connected = timeout(time, async { first(&self.addresses(host, port).await?, limits::CONNECT_TRY).await }).await;
        let stream = connected.map_err(|_| timed_out())??;
        // sshd does so too; it fails only for a peer that has gone, which the first read tells.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let permit = self.0.clone().acquire_owned().await.map_err(io::Error::other)?;
        let host = host.to_owned();
        // The C library's look-up cannot be abandoned: its place is free when the thread is, not when nobody waits.
        let looked_up = spawn_blocking(move || {
            let found = (host.as_str(), port).to_socket_addrs().map(|all| all.take(limits::ADDRESSES).collect());
            drop(permit);
            found
        });
        looked_up.await.map_err(io::Error::other)?
    }
}

/// The first that takes a connection, each but the last within `each`, or why the last did not.
async fn first(addresses: &[SocketAddr], each: Duration) -> io::Result<TcpStream> {
    let Some((last, others)) = addresses.split_last() else { return Err(io::Error::from_raw_os_error(libc::EADDRNOTAVAIL)) };
    for address in others {
        if let Ok(Ok(stream)) = timeout(each, TcpStream::connect(address)).await {
            return Ok(stream);
        }
    }
    TcpStream::connect(last).await
}

fn timed_out() -> io::Error {
    io::Error::from_raw_os_error(libc::ETIMEDOUT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[tokio::test]
    async fn a_literal_needs_no_look_up() {
        let none = Resolver(Arc::new(Semaphore::new(0)));
        let addresses = none.addresses("::1", 7).await.unwrap();
        assert_eq!(addresses, [SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 7)]);
    }

    #[tokio::test]
    async fn names_are_looked_up_and_unknown_ones_told() {
        let found = Resolver::default().addresses("localhost", 7).await.unwrap();
        assert!(found.contains(&SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 7)), "{found:?}");
        let told = Resolver::default().connect("no.such.name.invalid", 7).await.unwrap_err().to_string();
        assert!(told == "Name or service not known" || told == "Temporary failure in name resolution", "{told}");
    }

    #[tokio::test]
    async fn every_address_is_tried_and_the_last_refusal_told() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let closed = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), open.port());
        assert_eq!(first(&[closed, open], limits::CONNECT_TRY).await.unwrap().peer_addr().unwrap(), open);
        drop(listener);
        let told = Denied::from(first(&[open], limits::CONNECT_TRY).await.unwrap_err()).to_string();
        assert_eq!(told, "Connection refused");
    }

    #[tokio::test]
    async fn an_address_that_swallows_packets_is_given_up() {
        let [one, other] = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        rustix::net::listen(&one, 0).unwrap();
        let (full, open) = (one.local_addr().unwrap(), other.local_addr().unwrap());
        let _waits = std::net::TcpStream::connect(full).unwrap();
        let each = Duration::from_millis(300);
        assert_eq!(first(&[full, open], each).await.unwrap().peer_addr().unwrap(), open);
        // Nobody waits behind the last.
        let waits = Duration::from_millis(900);
        assert!(timeout(waits, first(&[full], each)).await.is_err() && timeout(waits, first(&[full, full], each)).await.is_err());
        let told = Resolver::default().connect_within(waits, "127.0.0.1", full.port()).await.unwrap_err().to_string();
        assert_eq!(told, "Connection timed out");
    }
}

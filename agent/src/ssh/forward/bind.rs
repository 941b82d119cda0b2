//! Which addresses `tcpip-forward` listens on: sshd's `channel_fwd_bind_addr`, and the sockets that follow from it.

use super::{denied::Denied, policy::GatewayPorts};
use crate::ssh::{account::Account, limits};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
};

const LOOPBACK: [IpAddr; 2] = [IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)];
const WILDCARD: [IpAddr; 2] = [IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)];

/// Where the kernel says from which port on anybody may listen; 1024 where it does not.
const UNPRIVILEGED: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

/// The addresses for a client that asks for `address` (RFC 4254 section 7.1; "" and "*" mean all).
pub(super) fn addresses(gateway: GatewayPorts, address: &str) -> Result<Vec<IpAddr>, Denied> {
    match (gateway, address) {
        (GatewayPorts::Yes, _) | (GatewayPorts::ClientSpecified, "" | "*") => Ok(WILDCARD.to_vec()),
        (_, "127.0.0.1") => Ok(vec![Ipv4Addr::LOCALHOST.into()]),
        (_, "::1") => Ok(vec![Ipv6Addr::LOCALHOST.into()]),
        (GatewayPorts::No, _) | (_, "localhost") => Ok(LOOPBACK.to_vec()),
        (GatewayPorts::ClientSpecified, other) => other.parse().map(|ip| vec![ip]).map_err(|_| Denied::address(other)),
    }
}

/// Whether `account` may listen on `port`: an agent that runs as root must not lend its rights.
pub(super) fn permitted(account: &Account, port: u16) -> Result<(), Denied> {
    let text = fs::read_to_string(UNPRIVILEGED).unwrap_or_default();
    may_listen(account.uid, port, text.trim().parse().unwrap_or(1024))
}

/// Listens on `port` of every address that can be had, at least on one; for 0, on a free port that they have in common.
pub(super) fn tcp(addresses: &[IpAddr], port: u16) -> Result<(Vec<TcpListener>, u16), Denied> {
    let mut bound = each(addresses, port)?;
    for _ in 1..limits::PORT_TRIES {
        if port != 0 || !bound.taken {
            break;
        }
        bound = each(addresses, port)?;
    }
    Ok((bound.listeners, bound.port))
}

/// What listens now.
struct Bound {
    listeners: Vec<TcpListener>,
    port: u16,
    /// Whether somebody else has the port of another address.
    taken: bool,
}

fn each(addresses: &[IpAddr], mut port: u16) -> io::Result<Bound> {
    let mut listeners = Vec::new();
    let mut refused = None;
    for &ip in addresses {
        match one(SocketAddr::new(ip, port)) {
            Ok(listener) => {
                port = listener.local_addr()?.port();
                listeners.push(listener);
            }
            Err(fault) => refused = Some(fault),
        }
    }
    let taken = refused.as_ref().is_some_and(|fault| fault.kind() == io::ErrorKind::AddrInUse);
    match refused {
        Some(fault) if listeners.is_empty() => Err(fault),
        _ => Ok(Bound { listeners, port, taken }),
    }
}

fn may_listen(uid: u32, port: u16, unprivileged: u16) -> Result<(), Denied> {
    let may = port == 0 || port >= unprivileged || uid == 0;
    may.then_some(()).ok_or(Denied::Privileged(port, unprivileged))
}

/// One family a socket, as the other has its own.
fn one(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &address)?;
    listen(&socket, limits::LISTEN_BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_gateway_ports_all_is_loopback() {
        for address in ["", "*", "localhost", "0.0.0.0", "::", "192.0.2.1", "example.com"] {
            assert_eq!(addresses(GatewayPorts::No, address), Ok(LOOPBACK.to_vec()), "{address}");
        }
        assert_eq!(addresses(GatewayPorts::No, "127.0.0.1"), Ok(vec![LOOPBACK[1]]));
        assert_eq!(addresses(GatewayPorts::No, "::1"), Ok(vec![LOOPBACK[0]]));
    }

    #[test]
    fn with_gateway_ports_all_is_open() {
        for address in ["", "localhost", "127.0.0.1", "192.0.2.1"] {
            assert_eq!(addresses(GatewayPorts::Yes, address), Ok(WILDCARD.to_vec()), "{address}");
        }
    }

    #[test]
    fn a_client_that_may_specify_gets_what_it_asks_for() {
        let of = |address| addresses(GatewayPorts::ClientSpecified, address);
        assert_eq!(of(""), Ok(WILDCARD.to_vec()));
        assert_eq!(of("*"), Ok(WILDCARD.to_vec()));
        assert_eq!(of("0.0.0.0"), Ok(vec![WILDCARD[1]]));
        assert_eq!(of("localhost"), Ok(LOOPBACK.to_vec()));
        assert_eq!(of("192.0.2.1"), Ok(vec!["192.0.2.1".parse().unwrap()]));
        assert_eq!(of("example.com"), Err(Denied::Address("example.com".into())));
    }

    #[test]
    fn low_ports_are_roots() {
        assert_eq!(may_listen(1000, 1023, 1024), Err(Denied::Privileged(1023, 1024)));
        assert_eq!(may_listen(1000, 1024, 1024), Ok(()));
        assert_eq!(may_listen(1000, 0, 1024), Ok(()));
        assert_eq!(may_listen(1000, 80, 0), Ok(()));
        assert_eq!(may_listen(0, 80, 1024), Ok(()));
    }

    #[test]
    fn a_free_port_is_one_for_all_families() {
        let (listeners, port) = tcp(&LOOPBACK, 0).unwrap();
        assert!(port != 0 && listeners.iter().all(|listener| listener.local_addr().unwrap().port() == port));
        assert_eq!(tcp(&LOOPBACK, port).unwrap_err().to_string(), "Address already in use");
    }
}

//! How large a tunnel's packets may become: as large as this machine's way to the other side takes, within a bound.
//!
//! Most of what a packet costs, it costs whatever it carries, and networks of clouds take 8,900 bytes and more. quinn finds
//! out what the rest of the way takes, beginning at 1,200; a bound that the first link takes spares it tries that are lost.

use rustix::net::sockopt;
use std::{io, net::SocketAddr};

/// quinn hands the kernel ten packets at a time (quinn 0.11, `MAX_TRANSMIT_SEGMENTS`), which takes 65,507 bytes at most and
/// drops what is larger without a word.
pub(super) const MAX: u16 = 6500;
/// What the internet takes: 1,500 without the headers of IPv6 and UDP.
pub(super) const USUAL: u16 = 1452;
/// RFC 9000 section 14.
const LEAST: u16 = 1200;
/// Headers of IPv6 and UDP.
const HEADERS: u32 = 48;

/// Bytes of a packet's payload that may be tried on the way to `peer`.
pub(super) fn bound(peer: SocketAddr) -> u16 {
    first_link(peer).map_or(USUAL, within)
}

fn within(link: u32) -> u16 {
    u16::try_from(link.saturating_sub(HEADERS)).unwrap_or(MAX).clamp(LEAST, MAX)
}

/// What the kernel sends towards `peer` in one piece; ip(7), `IP_MTU`.
fn first_link(peer: SocketAddr) -> io::Result<u32> {
    let socket = super::any_port(peer)?;
    socket.connect(peer)?;
    Ok(if peer.is_ipv4() { sockopt::ip_mtu(&socket) } else { sockopt::ipv6_mtu(&socket) }?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_link_within_bounds() {
        let links = [(1500, 1452), (1400, 1352), (1280, 1232), (576, 1200), (0, 1200), (6548, 6500), (9001, 6500), (65536, 6500)];
        for (link, bound) in links {
            assert_eq!(within(link), bound, "{link}");
        }
    }

    #[test]
    fn loopback_takes_the_most() {
        assert_eq!(bound(([127, 0, 0, 1], 9).into()), MAX);
    }
}

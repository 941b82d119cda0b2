//! A long way: the kernel's Cubic takes each packet lost there for congestion, and is slow for seconds after. BBR is not.
//!
//! What is near keeps what the machine has: a loss is made good there before anybody notices.

use rustix::net::sockopt;
use std::{
    mem::{self, MaybeUninit},
    os::fd::{AsFd, AsRawFd},
    time::Duration,
};
use tracing::debug;

/// A shortest round trip from here on is a long way: another city is farther, the same data centre and most of a city nearer.
const LONG: Duration = Duration::from_millis(5);
/// What a machine has that nobody has thought about. Anything else was somebody's choice, and stays.
const DEFAULTS: [&str; 2] = ["cubic", "reno"];
/// In place of it. Most kernels have it, many as a module that has to be loaded first.
const BBR: &str = "bbr";

/// What the kernel has seen of a connection.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Shortest round trip; `None` before there is one, as after a handshake of which a part was lost.
    shortest: Option<Duration>,
    /// Packets that had to be sent again.
    repeated: u32,
}

impl Seen {
    fn is_long(self) -> bool {
        self.shortest.map_or(self.repeated > 0, |shortest| shortest >= LONG)
    }
}

/// Has a connected TCP `socket` bear with loss if its way is long, by what its handshake has shown, and if the kernel can.
pub fn suit(socket: &impl AsFd) {
    let is_default = sockopt::tcp_congestion(socket).is_ok_and(|name| DEFAULTS.contains(&name.as_str()));
    if is_default
        && seen(socket).is_some_and(Seen::is_long)
        && let Err(fault) = sockopt::set_tcp_congestion(socket, BBR)
    {
        debug!(%fault, "a long way without BBR: the kernel does not have it");
    }
}

/// From `TCP_INFO`, as far as the kernel tells (`tcpi_min_rtt` since Linux 4.6).
#[allow(unsafe_code)]
fn seen(socket: &impl AsFd) -> Option<Seen> {
    let (descriptor, mut info) = (socket.as_fd().as_raw_fd(), MaybeUninit::<libc::tcp_info>::zeroed());
    let mut length = u32::try_from(size_of::<libc::tcp_info>()).ok()?;
    // SAFETY: the kernel writes at most `length` bytes to `info`, which has as many, and how many these are to `length`.
    let told =
        unsafe { libc::getsockopt(descriptor, libc::IPPROTO_TCP, libc::TCP_INFO, info.as_mut_ptr().cast(), &raw mut length) };
    let needed = mem::offset_of!(libc::tcp_info, tcpi_min_rtt) + size_of::<u32>();
    if told != 0 || usize::try_from(length).ok()? < needed {
        return None;
    }
    // SAFETY: numbers only, for which zeros are values too, and it was zeroed.
    let info = unsafe { info.assume_init() };
    let shortest = (info.tcpi_min_rtt != u32::MAX).then(|| Duration::from_micros(info.tcpi_min_rtt.into()));
    Some(Seen { shortest, repeated: info.tcpi_total_retrans })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    fn pair() -> [TcpStream; 2] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        [near, listener.accept().unwrap().0]
    }

    #[test]
    fn both_ends_know_their_way_by_the_handshake_and_leave_a_short_one_as_it_is() {
        for socket in pair() {
            sockopt::set_tcp_congestion(&socket, "reno").unwrap();
            let seen = seen(&socket).unwrap();
            assert!(seen.shortest.is_some(), "{seen:?}");
            suit(&socket);
            assert_eq!(sockopt::tcp_congestion(&socket).unwrap() == "reno", !seen.is_long());
        }
    }

    #[test]
    fn what_is_no_tcp_socket_tells_nothing() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(seen(&file).is_none());
        suit(&file);
    }

    #[test]
    fn a_way_is_long_by_its_shortest_round_trip_or_a_lost_handshake() {
        let seen = |micros: Option<u64>, repeated| Seen { shortest: micros.map(Duration::from_micros), repeated };
        for (seen, long) in [
            (seen(Some(80), 0), false),
            (seen(Some(80), 3), false),
            (seen(Some(4_999), 0), false),
            (seen(Some(5_000), 0), true),
            (seen(None, 0), false),
            (seen(None, 1), true),
        ] {
            assert_eq!(seen.is_long(), long, "{seen:?}");
        }
    }
}

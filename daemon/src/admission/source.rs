//! Who counts as one caller: an IPv4 address, or the /64 that an IPv6 host chooses its addresses from.

use std::net::{IpAddr, Ipv6Addr};

/// Bits of an IPv6 address that are the site's choice, not the host's (RFC 4291 section 2.5.4).
const HOST_BITS: u32 = 64;

/// An address without what its holder may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Source(IpAddr);

impl Source {
    pub(super) const fn is_v4(self) -> bool {
        self.0.is_ipv4()
    }
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> HOST_BITS << HOST_BITS)),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_one_source_however_it_writes_itself() {
        let source = |text: &str| Source::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_eq!(source("2001:db8::1"), source("2001:db8:0:0:ffff:ffff:ffff:ffff"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        assert!(source("::ffff:192.0.2.1").is_v4() && !source("2001:db8::1").is_v4());
    }
}

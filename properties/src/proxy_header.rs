//! A balancer's header: exactly as long as it says, and only an address of TCP comes of it.

use drawbridge_shared::native::proxy_header::{MAX_PROXY_HEADER, caller};

/// Where a header says how many bytes follow, and where they begin.
const LENGTH: std::ops::Range<usize> = 14..16;
/// The command and the family of one that speaks of somebody else's connection.
const KIND: std::ops::Range<usize> = 12..14;

/// `data` as a whole header.
pub fn check(data: &[u8]) -> bool {
    let Ok(told) = caller(data) else { return false };
    let length = u16::from_be_bytes(data[LENGTH].try_into().unwrap());
    assert_eq!(data.len(), LENGTH.end + usize::from(length));
    assert!(data.len() <= MAX_PROXY_HEADER);
    assert!(caller(&data[..data.len() - 1]).is_err(), "half a header was taken");
    assert!(caller(&[data, b"S"].concat()).is_err(), "a byte of SSH was taken");
    if let Some(told) = told {
        assert!(matches!(&data[KIND], [0x21, 0x11 | 0x21]));
        assert_eq!(told.is_ipv4(), data[KIND.start + 1] == 0x11);
    }
    true
}

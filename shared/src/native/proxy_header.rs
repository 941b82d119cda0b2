//! The header in which a balancer says for whom it speaks: PROXY protocol, version 2.
//!
//! Source: <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>, section 2.2. Twelve bytes of signature, version
//! and command, family and protocol, a length of two bytes; then so many bytes of addresses and extensions.

use proxy_header::{ParseConfig, Protocol, ProxyHeader};
use std::{io, net::SocketAddr};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes of a header: addresses take 36, what clouds add some dozens, a name from a certificate some hundreds.
pub const MAX_PROXY_HEADER: usize = 2048;
/// What comes before the length, and it.
const FIXED: usize = 16;
/// The two bytes of it.
const LENGTH: std::ops::Range<usize> = 14..FIXED;
/// What no line of text, and no identification of SSH, begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, and the balancer's own connection: the rest says nothing.
const LOCAL: u8 = 0x20;

/// A balancer's connection begins with something else.
#[derive(Debug, thiserror::Error)]
pub enum HeaderFault {
    /// It ended, or broke.
    #[error(transparent)]
    Broken(#[from] io::Error),
    /// No header of version 2.
    #[error("it does not begin with a PROXY protocol header of version 2")]
    Absent,
    /// One that says more than its receiver wants to know.
    #[error("its PROXY protocol header has {0} bytes, more than {MAX_PROXY_HEADER}")]
    Long(usize),
    /// One that does not hold together, or speaks for what is no TCP.
    #[error("its PROXY protocol header makes no sense for TCP")]
    Senseless,
}

/// Reads a header off `stream` and not a byte more: for whom the rest is, or nobody where the balancer speaks for itself or
/// does not know. Has no time bound of its own.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, HeaderFault> {
    let mut header = vec![0; FIXED];
    stream.read_exact(&mut header).await?;
    header.resize(FIXED + rest(&header)?, 0);
    stream.read_exact(header.get_mut(FIXED..).unwrap_or_default()).await?;
    caller(&header)
}

/// How many bytes follow the fixed part.
fn rest(fixed: &[u8]) -> Result<usize, HeaderFault> {
    if !fixed.starts_with(SIGNATURE) {
        return Err(HeaderFault::Absent);
    }
    let length = fixed.get(LENGTH).and_then(|bytes| bytes.try_into().ok()).map(u16::from_be_bytes);
    let length = usize::from(length.ok_or(HeaderFault::Absent)?);
    if FIXED + length > MAX_PROXY_HEADER { Err(HeaderFault::Long(FIXED + length)) } else { Ok(length) }
}

/// Of whom a whole header speaks. One of a family that has no address for us speaks of nobody.
pub fn caller(header: &[u8]) -> Result<Option<SocketAddr>, HeaderFault> {
    if FIXED + rest(header)? != header.len() {
        return Err(HeaderFault::Senseless);
    }
    if header.get(SIGNATURE.len()) == Some(&LOCAL) {
        return Ok(None);
    }
    let config = ParseConfig { include_tlvs: false, allow_v1: false, allow_v2: true };
    let (parsed, _) = ProxyHeader::parse(header, config).map_err(|_| HeaderFault::Senseless)?;
    match parsed.proxied_address() {
        None => Ok(None),
        Some(address) if address.protocol == Protocol::Stream => Ok(Some(address.source)),
        Some(_) => Err(HeaderFault::Senseless),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with these two bytes after the signature, and `rest` under its true length.
    fn header(kind: [u8; 2], rest: &[u8]) -> Vec<u8> {
        [SIGNATURE, &kind, &(rest.len() as u16).to_be_bytes(), rest].concat()
    }

    const V4: &[u8] = &[192, 0, 2, 7, 203, 0, 113, 1, 0xd4, 0x31, 0, 22];

    #[tokio::test]
    async fn not_a_byte_of_ssh_is_taken() {
        let extension = [V4, b"\x04\0\x03abc"].concat();
        let bytes = [&header([0x21, 0x11], &extension)[..], b"SSH-2.0-x\r\n"].concat();
        let mut stream = &bytes[..];
        assert_eq!(read(&mut stream).await.unwrap(), Some("192.0.2.7:54321".parse().unwrap()));
        assert_eq!(stream, b"SSH-2.0-x\r\n");
    }

    #[test]
    fn six_is_read_as_four_is() {
        let addresses = [&"2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets()[..], &[0; 16], &[0, 99, 0, 22]].concat();
        assert_eq!(caller(&header([0x21, 0x21], &addresses)).unwrap(), Some("[2001:db8::7]:99".parse().unwrap()));
    }

    #[test]
    fn a_balancer_may_speak_for_nobody() {
        for (kind, rest) in [([0x20, 0], &b""[..]), ([0x20, 0x11], b""), ([0x20, 0xff], b"what"), ([0x21, 0], b"\x04\0\0")] {
            assert_eq!(caller(&header(kind, rest)).unwrap(), None, "{kind:x?}");
        }
        assert_eq!(caller(&header([0x21, 0x31], &[0; 216])).unwrap(), None, "a Unix socket has no address for us");
    }

    #[test]
    fn all_else_is_refused() {
        for (kind, rest) in [
            ([0x21, 0x12], V4),
            ([0x21, 0x11], &V4[1..]),
            ([0x21, 0x21], V4),
            ([0x21, 0x41], V4),
            ([0x11, 0x11], V4),
            ([0x22, 0x11], V4),
        ] {
            assert!(matches!(caller(&header(kind, rest)), Err(HeaderFault::Senseless)), "{kind:x?}");
        }
        assert!(matches!(caller(b"PROXY TCP4 192.0.2.7 203.0.113.1 54321 22\r\n"), Err(HeaderFault::Absent)));
        assert!(matches!(caller(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u6\r\n"), Err(HeaderFault::Absent)));
        assert!(matches!(caller(b""), Err(HeaderFault::Absent)));
    }

    #[tokio::test]
    async fn a_long_one_is_refused_before_it_is_read() {
        let long = header([0x21, 0x11], &[0; MAX_PROXY_HEADER - FIXED + 1]);
        let mut stream = &long[..];
        assert!(matches!(read(&mut stream).await, Err(HeaderFault::Long(_))));
        assert_eq!(stream.len(), long.len() - FIXED);
        let longest = header([0x21, 0x11], &[V4, &[0; MAX_PROXY_HEADER - FIXED - 12]].concat());
        assert!(read(&mut &longest[..]).await.unwrap().is_some());
        assert!(matches!(read(&mut &longest[..20]).await, Err(HeaderFault::Broken(_))));
    }
}

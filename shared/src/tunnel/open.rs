//! The frame in front of every inner SSH connection: whom the daemon let through, for the agent's logs and environment.

use super::frame::{FrameFault, clipped, framed, text};
use crate::{fingerprint::Fingerprint, id::UserId};
use ssh_key::encoding::{Decode, Encode};
use std::net::SocketAddr;

const KIND: u8 = 32;

/// What the daemon says about a connection. The agent shows it and authorises nobody by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Who passed the jump host.
    pub user: UserId,
    /// With which key.
    pub fingerprint: Fingerprint,
    /// From where.
    pub client: SocketAddr,
    /// Names the connection in both logs.
    pub trace_id: String,
}

impl Open {
    /// The frame as it goes over the wire, length included.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = vec![KIND];
        // Writing to a vector fails only on lengths beyond u32, and every field is bounded.
        let _ = self.encode_fields(&mut body);
        framed(body)
    }

    /// Reads a frame's type and fields, without its length.
    pub fn decode(body: &[u8]) -> Result<Self, FrameFault> {
        let (kind, mut fields) = body.split_first().ok_or(FrameFault::Length(0))?;
        if *kind != KIND {
            return Err(FrameFault::Type(*kind));
        }
        let open = Self::decode_fields(&mut fields)?;
        fields.is_empty().then_some(open).ok_or(FrameFault::Malformed)
    }

    fn encode_fields(&self, body: &mut Vec<u8>) -> Result<(), ssh_key::encoding::Error> {
        self.user.as_str().encode(body)?;
        self.fingerprint.0.encode(body)?;
        self.client.to_string().encode(body)?;
        clipped(&self.trace_id).encode(body)
    }

    fn decode_fields(fields: &mut &[u8]) -> Result<Self, FrameFault> {
        let malformed = |_| FrameFault::Malformed;
        Ok(Self {
            user: text(fields)?.parse().map_err(malformed)?,
            fingerprint: Fingerprint(<[u8; 32]>::decode(fields)?),
            client: text(fields)?.parse().map_err(|_| FrameFault::Malformed)?,
            trace_id: text(fields)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::LENGTH;
    use super::*;

    const GOLDEN: &[u8] =
        b"\x00\x00\x00\x3c\x20\x00\x00\x00\x05alice********************************\x00\x00\x00\x08[::1]:99\x00\x00\x00\x02t1";

    fn open() -> Open {
        Open {
            user: "alice".parse().unwrap(),
            fingerprint: Fingerprint([0x2a; 32]),
            client: "[::1]:99".parse().unwrap(),
            trace_id: "t1".into(),
        }
    }

    #[test]
    fn it_has_these_bytes() {
        assert_eq!(open().encode(), GOLDEN);
        assert_eq!(Open::decode(&GOLDEN[LENGTH..]), Ok(open()));
    }

    #[test]
    fn cuts_and_tails_are_refused() {
        let body = &GOLDEN[LENGTH..];
        for end in 0..body.len() {
            assert!(Open::decode(&body[..end]).is_err(), "cut at {end}");
        }
        assert!(Open::decode(&[body, b"\0"].concat()).is_err());
        assert_eq!(Open::decode(b"\x01"), Err(FrameFault::Type(1)));
    }
}

//! The frame in front of every inner SSH connection: whom the daemon let through, for the agent's logs and environment.

use super::{
    frame::{FrameFault, clipped, framed, text},
    resume::{
        frame::{RESUME, Resume},
        ticket::{ID, SECRET, Secret, StrandId, Ticket},
    },
};
use crate::{fingerprint::Fingerprint, id::UserId};
use ssh_key::encoding::{Decode, Encode};
use std::{net::SocketAddr, time::Duration};

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
    /// Name and secret of the strand that it runs on.
    pub ticket: Ticket,
    /// How long it waits for another tunnel when its own is gone, in whole seconds.
    pub patience: Duration,
}

/// The first frame of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// A new connection.
    New(Open),
    /// One goes on.
    Resume(Resume),
}

impl Opening {
    /// Reads a frame's type and fields, without its length.
    pub fn decode(body: &[u8]) -> Result<Self, FrameFault> {
        let (kind, mut fields) = body.split_first().ok_or(FrameFault::Length(0))?;
        let opening = match *kind {
            KIND => Self::New(Open::decode_fields(&mut fields)?),
            RESUME => Self::Resume(Resume::decode_fields(&mut fields)?),
            other => return Err(FrameFault::Type(other)),
        };
        fields.is_empty().then_some(opening).ok_or(FrameFault::Malformed)
    }
}

impl Open {
    /// The frame as it goes over the wire, length included.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = vec![KIND];
        // Writing to a vector fails only on lengths beyond u32, and every field is bounded.
        let _ = self.encode_fields(&mut body);
        framed(body)
    }

    fn encode_fields(&self, body: &mut Vec<u8>) -> Result<(), ssh_key::encoding::Error> {
        self.user.as_str().encode(body)?;
        self.fingerprint.0.encode(body)?;
        self.client.to_string().encode(body)?;
        clipped(&self.trace_id).encode(body)?;
        self.ticket.id.0.encode(body)?;
        self.ticket.secret.expose().encode(body)?;
        u32::try_from(self.patience.as_secs()).unwrap_or(u32::MAX).encode(body)
    }

    fn decode_fields(fields: &mut &[u8]) -> Result<Self, FrameFault> {
        let malformed = |_| FrameFault::Malformed;
        Ok(Self {
            user: text(fields)?.parse().map_err(malformed)?,
            fingerprint: Fingerprint(<[u8; 32]>::decode(fields)?),
            client: text(fields)?.parse().map_err(|_| FrameFault::Malformed)?,
            trace_id: text(fields)?,
            ticket: Ticket { id: StrandId(<[u8; ID]>::decode(fields)?), secret: Secret::new(<[u8; SECRET]>::decode(fields)?) },
            patience: Duration::from_secs(u32::decode(fields)?.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::LENGTH;
    use super::*;

    const GOLDEN: &[u8] =
        b"\x00\x00\x00\x70\x20\x00\x00\x00\x05alice********************************\x00\x00\x00\x08[::1]:99\x00\x00\x00\x02t1\
        0123456789abcdef++++++++++++++++++++++++++++++++\x00\x00\x01\x2c";

    fn open() -> Open {
        Open {
            user: "alice".parse().unwrap(),
            fingerprint: Fingerprint([0x2a; 32]),
            client: "[::1]:99".parse().unwrap(),
            trace_id: "t1".into(),
            ticket: Ticket { id: StrandId(*b"0123456789abcdef"), secret: Secret::new([b'+'; SECRET]) },
            patience: Duration::from_secs(300),
        }
    }

    #[test]
    fn it_has_these_bytes() {
        assert_eq!(open().encode(), GOLDEN);
        assert_eq!(Opening::decode(&GOLDEN[LENGTH..]), Ok(Opening::New(open())));
    }

    #[test]
    fn cuts_and_tails_are_refused() {
        let body = &GOLDEN[LENGTH..];
        for end in 0..body.len() {
            assert!(Opening::decode(&body[..end]).is_err(), "cut at {end}");
        }
        assert!(Opening::decode(&[body, b"\0"].concat()).is_err());
        assert_eq!(Opening::decode(b"\x01"), Err(FrameFault::Type(1)));
    }
}

//! The frames that start a leg after the first: Resume, and what the agent answers.

use super::ticket::{ID, PROOF, StrandId, Ticket};
use crate::tunnel::frame::{FrameFault, clipped, framed, text};
use ssh_key::encoding::{Decode, Encode};

pub(in crate::tunnel) const RESUME: u8 = 33;
const RESUMED: u8 = 34;
const GONE: u8 = 35;

/// The daemon goes on with a strand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// Which.
    pub id: StrandId,
    /// Higher than in any Resume before; 1 is the first.
    pub leg: u64,
    /// The position from which the daemon needs the agent's bytes.
    pub received: u64,
    /// By the strand's secret, over all of the above.
    pub proof: [u8; PROOF],
}

/// The agent's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It goes on.
    Resumed {
        /// The position from which the agent needs the daemon's bytes.
        received: u64,
    },
    /// This process does not have that strand, or not for this daemon, or not any more.
    Gone {
        /// Why, for people.
        words: String,
    },
}

impl Resume {
    /// Leg number `leg` of the strand that `ticket` is for.
    pub fn new(ticket: &Ticket, leg: u64, received: u64) -> Self {
        Self { id: ticket.id, leg, received, proof: ticket.prove(leg, received) }
    }

    /// The frame as it goes over the wire, length included.
    pub fn encode(&self) -> Vec<u8> {
        let Self { id, leg, received, proof } = self;
        framed([&[RESUME][..], &id.0, &leg.to_be_bytes(), &received.to_be_bytes(), proof].concat())
    }

    pub(in crate::tunnel) fn decode_fields(fields: &mut &[u8]) -> Result<Self, FrameFault> {
        Ok(Self {
            id: StrandId(<[u8; ID]>::decode(fields)?),
            leg: u64::decode(fields)?,
            received: u64::decode(fields)?,
            proof: <[u8; PROOF]>::decode(fields)?,
        })
    }
}

impl Answer {
    /// The frame as it goes over the wire, length included.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Resumed { received } => framed([&[RESUMED][..], &received.to_be_bytes()].concat()),
            Self::Gone { words } => {
                let mut body = vec![GONE];
                // Writing to a vector fails only on lengths beyond u32, and words are bounded.
                let _ = clipped(words).encode(&mut body);
                framed(body)
            }
        }
    }

    /// Reads a frame's type and fields, without its length.
    pub fn decode(body: &[u8]) -> Result<Self, FrameFault> {
        let (kind, mut fields) = body.split_first().ok_or(FrameFault::Length(0))?;
        let answer = match *kind {
            RESUMED => Self::Resumed { received: u64::decode(&mut fields)? },
            GONE => Self::Gone { words: text(&mut fields)? },
            other => return Err(FrameFault::Type(other)),
        };
        fields.is_empty().then_some(answer).ok_or(FrameFault::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::ticket::{SECRET, Secret};
    use super::*;
    use crate::tunnel::{frame::LENGTH, open::Opening};

    fn answers() -> [(Answer, &'static [u8]); 2] {
        [
            (Answer::Resumed { received: 258 }, b"\0\0\0\x09\x22\0\0\0\0\0\0\x01\x02"),
            (Answer::Gone { words: "no".into() }, b"\0\0\0\x07\x23\0\0\0\x02no"),
        ]
    }

    #[test]
    fn a_resume_has_these_bytes() {
        let ticket = Ticket { id: StrandId(*b"0123456789abcdef"), secret: Secret::new([2; SECRET]) };
        let resume = Resume::new(&ticket, 1, 258);
        let wire = resume.encode();
        assert_eq!(wire[..37], *b"\0\0\0\x41\x210123456789abcdef\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\x01\x02");
        assert_eq!(wire[37..], ticket.prove(1, 258));
        assert_eq!(Opening::decode(&wire[LENGTH..]), Ok(Opening::Resume(resume)));
    }

    #[test]
    fn answers_have_these_bytes() {
        for (answer, bytes) in answers() {
            assert_eq!(answer.encode(), bytes);
            assert_eq!(Answer::decode(&bytes[LENGTH..]), Ok(answer));
        }
    }

    #[test]
    fn every_cut_and_every_tail_is_refused() {
        for (answer, bytes) in answers() {
            for end in LENGTH..bytes.len() {
                assert!(Answer::decode(&bytes[LENGTH..end]).is_err(), "{answer:?} cut at {end}");
            }
            assert!(Answer::decode(&[&bytes[LENGTH..], b"\0"].concat()).is_err());
        }
        assert_eq!(Answer::decode(b"\x20"), Err(FrameFault::Type(0x20)));
    }
}

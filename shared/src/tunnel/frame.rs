//! Frames of the control stream: encode and decode, bounded before they are read.

use super::{
    MAX_FRAME, MAX_TEXT, NONCE,
    instance::{INSTANCE, Instance},
    ticket::{TICKET, Ticket},
};
use crate::id::{SnapshotSeq, WorkspaceId};
use ssh_key::encoding::{Decode, Encode, Reader};
use std::time::Duration;

/// Bytes in front of a frame: its length.
pub const LENGTH: usize = 4;

/// One message on the control stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The agent says who it is.
    Hello {
        /// Protocol version.
        version: u32,
        /// The workspace that it serves.
        workspace: WorkspaceId,
        /// The agent's process.
        instance: Instance,
        /// Whether it takes new streams; an old process only goes on with those it has.
        accepts: bool,
        /// Whether it is the only one: every other process of this workspace has ended.
        alone: bool,
        /// Its build, for logs.
        agent: String,
    },
    /// The daemon asks for proof.
    Challenge {
        /// Never used twice.
        nonce: [u8; NONCE],
    },
    /// The agent proves that it holds the workspace key.
    Proof {
        /// Armored SSHSIG, see [`super::proof`].
        signature: String,
    },
    /// The tunnel is registered.
    Welcome {
        /// Counts registrations; a higher one fences the lower.
        generation: u64,
        /// The daemon's process.
        instance: Instance,
        /// Whether it is the only one: every other process of this daemon has ended.
        alone: bool,
    },
    /// The tunnel is not registered.
    Refuse {
        /// Why, for the agent's decision.
        reason: Reason,
        /// Why, for people.
        words: String,
        /// Not to be tried again before.
        retry_after: Duration,
    },
    /// Whoever says it serves what runs over this tunnel and takes nothing new: go elsewhere for what comes.
    Drain,
    /// The daemon knows a newer snapshot that touches this workspace.
    KeysChanged {
        /// Its number.
        seq: SnapshotSeq,
    },
    /// The last frame.
    Goodbye {
        /// Why, for the other side's decision.
        reason: Reason,
        /// Why, for people.
        words: String,
    },
    /// Whoever has heard nothing for a while asks for a sign of life.
    Ping,
    /// The sign.
    Pong,
    /// The daemon asks for one more data socket. Over WebSocket only.
    Dial {
        /// Shown by the socket.
        ticket: Ticket,
    },
}

/// Why a tunnel is refused or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The version is not spoken here.
    Version,
    /// Unknown workspace, or not its key: told apart in no way.
    NotRegistered,
    /// Full, or not ready.
    Busy,
    /// About to stop.
    Draining,
    /// A newer tunnel of the same workspace took over.
    Superseded,
    /// The other side broke the protocol.
    Misbehaved,
    /// The process ends.
    Stopping,
}

/// The bytes are no frame of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// Longer than [`MAX_FRAME`], or empty.
    #[error("a frame of {0} bytes")]
    Length(usize),
    /// A type that this version does not have.
    #[error("a frame of unknown type {0}")]
    Type(u8),
    /// Fields cut short, left over or out of range.
    #[error("a malformed frame")]
    Malformed,
}

impl From<ssh_key::encoding::Error> for FrameFault {
    fn from(_: ssh_key::encoding::Error) -> Self {
        Self::Malformed
    }
}

impl Reason {
    const ALL: [Self; 7] =
        [Self::Version, Self::NotRegistered, Self::Busy, Self::Draining, Self::Superseded, Self::Misbehaved, Self::Stopping];

    /// Its name in logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::NotRegistered => "not-registered",
            Self::Busy => "busy",
            Self::Draining => "draining",
            Self::Superseded => "superseded",
            Self::Misbehaved => "misbehaved",
            Self::Stopping => "stopping",
        }
    }

    const fn code(self) -> u32 {
        match self {
            Self::Version => 1,
            Self::NotRegistered => 2,
            Self::Busy => 3,
            Self::Draining => 4,
            Self::Superseded => 5,
            Self::Misbehaved => 6,
            Self::Stopping => 7,
        }
    }

    fn from_code(code: u32) -> Result<Self, FrameFault> {
        Self::ALL.into_iter().find(|reason| reason.code() == code).ok_or(FrameFault::Malformed)
    }
}

/// The length that the first four bytes of a frame announce, once it is known to be bounded.
pub fn length(prefix: [u8; LENGTH]) -> Result<usize, FrameFault> {
    let length = u32::from_be_bytes(prefix) as usize;
    if (1..=MAX_FRAME).contains(&length) { Ok(length) } else { Err(FrameFault::Length(length)) }
}

/// `body` with its length in front.
pub(super) fn framed(body: Vec<u8>) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes()[..], &body].concat()
}

/// A text field of at most [`MAX_TEXT`] bytes without control characters.
pub(super) fn text(reader: &mut impl Reader) -> Result<String, FrameFault> {
    let text = String::decode(reader)?;
    let tame = text.len() <= MAX_TEXT && !text.chars().any(char::is_control);
    tame.then_some(text).ok_or(FrameFault::Malformed)
}

/// `text` cut to what is taken in a frame: [`MAX_TEXT`] bytes, and blanks for control characters. What a peer says goes to logs and
/// terminals.
pub(crate) fn clipped(text: &str) -> String {
    let tame = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    tame.scan(0, |used, c| {
        *used += c.len_utf8();
        (*used <= MAX_TEXT).then_some(c)
    })
    .collect()
}

impl Frame {
    /// The frame as it goes over the wire, length included.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = vec![self.kind()];
        // Writing to a vector fails only on lengths beyond u32, and every field is bounded.
        let _ = self.encode_fields(&mut body);
        framed(body)
    }

    /// Reads a frame's type and fields, without its length.
    pub fn decode(body: &[u8]) -> Result<Self, FrameFault> {
        let (kind, mut fields) = body.split_first().ok_or(FrameFault::Length(0))?;
        let frame = Self::decode_fields(*kind, &mut fields)?;
        fields.is_empty().then_some(frame).ok_or(FrameFault::Malformed)
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Hello { .. } => 1,
            Self::Challenge { .. } => 2,
            Self::Proof { .. } => 3,
            Self::Welcome { .. } => 4,
            Self::Refuse { .. } => 5,
            Self::Drain => 6,
            Self::KeysChanged { .. } => 7,
            Self::Goodbye { .. } => 8,
            Self::Ping => 9,
            Self::Pong => 10,
            Self::Dial { .. } => 11,
        }
    }

    fn encode_fields(&self, body: &mut Vec<u8>) -> Result<(), ssh_key::encoding::Error> {
        match self {
            Self::Hello { version, workspace, instance, accepts, alone, agent } => {
                version.encode(body)?;
                workspace.as_str().encode(body)?;
                instance.0.encode(body)?;
                u8::from(*accepts).encode(body)?;
                u8::from(*alone).encode(body)?;
                clipped(agent).encode(body)
            }
            Self::Challenge { nonce } => nonce.encode(body),
            Self::Proof { signature } => signature.encode(body),
            Self::Welcome { generation, instance, alone } => {
                generation.encode(body)?;
                instance.0.encode(body)?;
                u8::from(*alone).encode(body)
            }
            Self::Refuse { reason, words, retry_after } => {
                reason.code().encode(body)?;
                clipped(words).encode(body)?;
                u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX).encode(body)
            }
            Self::Drain | Self::Ping | Self::Pong => Ok(()),
            Self::Dial { ticket } => ticket.0.encode(body),
            Self::KeysChanged { seq } => seq.0.encode(body),
            Self::Goodbye { reason, words } => {
                reason.code().encode(body)?;
                clipped(words).encode(body)
            }
        }
    }

    fn decode_fields(kind: u8, fields: &mut &[u8]) -> Result<Self, FrameFault> {
        Ok(match kind {
            1 => Self::Hello {
                version: u32::decode(fields)?,
                workspace: workspace(fields)?,
                instance: instance(fields)?,
                accepts: yes_or_no(fields)?,
                alone: yes_or_no(fields)?,
                agent: text(fields)?,
            },
            2 => Self::Challenge { nonce: <[u8; NONCE]>::decode(fields)? },
            3 => Self::Proof { signature: String::decode(fields)? },
            4 => Self::Welcome { generation: u64::decode(fields)?, instance: instance(fields)?, alone: yes_or_no(fields)? },
            5 => Self::Refuse { reason: reason(fields)?, words: text(fields)?, retry_after: millis(fields)? },
            6 => Self::Drain,
            7 => Self::KeysChanged { seq: SnapshotSeq(u64::decode(fields)?) },
            8 => Self::Goodbye { reason: reason(fields)?, words: text(fields)? },
            9 => Self::Ping,
            10 => Self::Pong,
            11 => Self::Dial { ticket: Ticket(<[u8; TICKET]>::decode(fields)?) },
            other => return Err(FrameFault::Type(other)),
        })
    }
}

fn workspace(fields: &mut &[u8]) -> Result<WorkspaceId, FrameFault> {
    text(fields)?.parse().map_err(|_| FrameFault::Malformed)
}

fn instance(fields: &mut &[u8]) -> Result<Instance, FrameFault> {
    Ok(Instance(<[u8; INSTANCE]>::decode(fields)?))
}

/// RFC 4251 section 5 takes any other byte for a yes; here a frame has one spelling.
fn yes_or_no(fields: &mut &[u8]) -> Result<bool, FrameFault> {
    match u8::decode(fields)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(FrameFault::Malformed),
    }
}

fn reason(fields: &mut &[u8]) -> Result<Reason, FrameFault> {
    Reason::from_code(u32::decode(fields)?)
}

fn millis(fields: &mut &[u8]) -> Result<Duration, FrameFault> {
    Ok(Duration::from_millis(u32::decode(fields)?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden() -> Vec<(Frame, &'static [u8])> {
        vec![
            (
                Frame::Hello {
                    version: 1,
                    workspace: "796636".parse().unwrap(),
                    instance: Instance([0x2b; 16]),
                    accepts: true,
                    alone: false,
                    agent: "x".into(),
                },
                b"\x00\x00\x00\x26\x01\x00\x00\x00\x01\x00\x00\x00\x06796636++++++++++++++++\x01\x00\x00\x00\x00\x01x",
            ),
            (Frame::Challenge { nonce: [0x2a; 32] }, b"\x00\x00\x00\x21\x02********************************"),
            (Frame::Proof { signature: "s".into() }, b"\x00\x00\x00\x06\x03\x00\x00\x00\x01s"),
            (
                Frame::Welcome { generation: 258, instance: Instance([0x2d; 16]), alone: true },
                b"\x00\x00\x00\x1a\x04\x00\x00\x00\x00\x00\x00\x01\x02----------------\x01",
            ),
            (
                Frame::Refuse { reason: Reason::Busy, words: "no".into(), retry_after: Duration::from_millis(7) },
                b"\x00\x00\x00\x0f\x05\x00\x00\x00\x03\x00\x00\x00\x02no\x00\x00\x00\x07",
            ),
            (Frame::Drain, b"\x00\x00\x00\x01\x06"),
            (Frame::KeysChanged { seq: SnapshotSeq(5) }, b"\x00\x00\x00\x09\x07\x00\x00\x00\x00\x00\x00\x00\x05"),
            (
                Frame::Goodbye { reason: Reason::Stopping, words: "bye".into() },
                b"\x00\x00\x00\x0c\x08\x00\x00\x00\x07\x00\x00\x00\x03bye",
            ),
            (Frame::Ping, b"\x00\x00\x00\x01\x09"),
            (Frame::Pong, b"\x00\x00\x00\x01\x0a"),
            (Frame::Dial { ticket: Ticket([0x2c; 32]) }, b"\x00\x00\x00\x21\x0b,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,"),
        ]
    }

    #[test]
    fn frames_have_these_bytes() {
        for (frame, bytes) in golden() {
            assert_eq!(frame.encode(), bytes, "{frame:?}");
            assert_eq!(Frame::decode(&bytes[LENGTH..]), Ok(frame));
        }
    }

    #[test]
    fn every_cut_and_every_tail_is_refused() {
        for (frame, bytes) in golden() {
            let body = &bytes[LENGTH..];
            for end in 0..body.len() {
                assert!(Frame::decode(&body[..end]).is_err(), "{frame:?} cut at {end}");
            }
            assert!(Frame::decode(&[body, b"\0"].concat()).is_err(), "{frame:?} with a tail");
        }
        assert_eq!(Frame::decode(&[99]), Err(FrameFault::Type(99)));
    }

    #[test]
    fn lengths_are_bounded_before_anything_is_read() {
        assert_eq!(length([0, 0, 0, 0]), Err(FrameFault::Length(0)));
        assert_eq!(length([0xff; 4]), Err(FrameFault::Length(0xffff_ffff)));
        assert_eq!(length((MAX_FRAME as u32).to_be_bytes()), Ok(MAX_FRAME));
    }

    #[test]
    fn words_are_tamed() {
        let words = format!("a\r\n{}", "ü".repeat(MAX_TEXT));
        let frame = Frame::Goodbye { reason: Reason::Busy, words };
        let Ok(Frame::Goodbye { words, .. }) = Frame::decode(&frame.encode()[LENGTH..]) else { panic!() };
        assert!(words.starts_with("a  ü") && words.len() <= MAX_TEXT);
        assert!(Frame::decode(b"\x08\x00\x00\x00\x07\x00\x00\x00\x01\x1b").is_err());
    }
}

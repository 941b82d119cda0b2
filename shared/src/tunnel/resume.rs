//! Streams that outlive their tunnel, version 1: the wire as text, its bounds, and what breaks it.
//!
//! Every inner SSH connection is one *strand*: bytes both ways that live over successive raw streams of the same agent
//! process's tunnels, its *legs*. A leg begins with one frame by the daemon:
//!
//! ```text
//! daemon -> agent   Open     see `open`: names the strand, shares its secret        first leg, not answered
//!                   Resume   id, leg, received, proof                               any later leg
//! agent  -> daemon  Resumed  received                 or  Gone  words               answers Resume
//! ```
//!
//! `leg` counts up; a Resume that does not is a replay and refused, as is a wrong proof (HMAC-SHA256 by the strand's secret).
//! `received` is the position from which the other side sends on. Then both sides send records:
//!
//! ```text
//! byte 1  Data   uint32 length, bytes     the next bytes of this direction
//! byte 2  Taken  uint64 position          the receiving application has taken all before it
//! byte 3  Fin    uint64 position          this direction ends in order, here
//! byte 4  Reset  uint64 position          this direction breaks off; bytes before it may be missing
//! byte 5  Stop                            the receiving application takes no more: break off
//! ```
//!
//! Each direction has positions of its own, from 0; each byte takes one, and so does the end: it is *confirmed* by a Taken
//! one past it. A sender keeps what was not taken, at most [`WINDOW`] bytes, so that a receiver that keeps that much reads
//! every leg at all times and never holds up confirmations behind data. Stop and Taken are said again on every leg.
//! A strand is over when both ends are confirmed; until then either side goes on, so that a tunnel which dies right at the
//! end makes no loss of an orderly end. Only the very last confirmation may get lost: a Resume for it is answered by Gone,
//! which means confirmed to a side that misses nothing else.

pub mod frame;
pub mod record;
pub mod strand;
pub mod ticket;

mod incoming;
mod outgoing;
#[cfg(test)]
mod simulation;

/// Bytes that a sender may be ahead of the receiving application: 100 ms at 600 Mbit/s fit.
pub const WINDOW: usize = 8 << 20;
/// Most bytes of one Data record.
pub const MAX_RECORD: usize = 1 << 20;
/// Bytes taken after which a receiver says so: far below [`WINDOW`], so that no sender waits for it.
pub const TAKEN_EVERY: u64 = 128 << 10;
/// Records after which a receiver says so, however small they were: a sender keeps little for each.
pub const TAKEN_EVERY_RECORDS: usize = 512;
/// Bytes given to a leg at once: confirmations wait no longer than these take.
pub const BATCH: usize = 256 << 10;
/// Up to this many bytes are copied together: cheaper than sending or keeping them apart, and they pin no larger allocation.
pub const SMALL: usize = 2048;
/// Smallest allocation that small pieces are gathered in, on their way out and in: what is kept costs a small part more than
/// its bytes, and a peer's tiny records cost no allocation each.
const GATHER: usize = 4096;
/// From this many bytes on a piece is kept as a part of what a leg was read into, 128 KiB at most: that pins four times as much at worst.
/// Of less only one piece is kept so, the next to be read: a peer could fill the rest with what nobody keeps, and an application that
/// reads along is spared the copy.
const LARGE: usize = 32 << 10;

/// How a peer broke this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A record that this version does not have.
    #[error("a record of unknown type {0}")]
    Type(u8),
    /// A Data record without data, or with more than [`MAX_RECORD`].
    #[error("a record of {0} bytes")]
    Length(usize),
    /// More than [`WINDOW`] ahead of the application.
    #[error("data beyond the window")]
    Flood,
    /// Data, or an end, after the end.
    #[error("data after the end")]
    AfterEnd,
    /// An end somewhere else than where the data stopped.
    #[error("an end at position {0}")]
    Misplaced(u64),
    /// Says that it has what was never sent.
    #[error("position {0} was never sent")]
    Unsent(u64),
    /// Says that it has less than it said before.
    #[error("position {0} is behind an earlier one")]
    Rewound(u64),
}

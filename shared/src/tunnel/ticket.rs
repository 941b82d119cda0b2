//! What opens one data socket of a WebSocket tunnel, once: made by the daemon, shown by the agent.

use crate::hex;
use std::fmt;

/// Bytes in a ticket.
pub const TICKET: usize = 32;

/// Random, and a secret until it is used.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket(pub [u8; TICKET]);

impl Ticket {
    /// As it stands in the request for the socket.
    pub fn to_hex(&self) -> String {
        hex::encode(&self.0)
    }

    /// The ticket that 64 lower-case hex digits stand for.
    pub fn from_hex(text: &str) -> Option<Self> {
        hex::decode32(text).map(Self)
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

//! Which processes a tunnel is between: streams go on over another tunnel of the same two, never over another's.

use crate::hex;
use std::fmt;

/// Bytes in an instance.
pub const INSTANCE: usize = 16;

/// One process of an agent or a daemon, named by chance at its start; all its tunnels show the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Instance(pub [u8; INSTANCE]);

impl fmt::Display for Instance {
    /// The first four bytes, for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0[..4]))
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Instance({self})")
    }
}

//! What crosses a wire in Drawbridge: ids, keys, snapshots, API bodies and the tunnel protocol, with no clock, randomness or I/O outside `native`.

pub mod api;
pub mod authorized_keys;
pub mod backoff;
pub mod fingerprint;
pub mod hex;
pub mod id;
pub mod key;
pub mod outage;
pub mod revocation;
pub mod signed;
pub mod snapshot;
pub mod target;
pub mod time;
pub mod token;
pub mod trouble;
pub mod tunnel;

#[cfg(feature = "schema")]
mod schema;

#[cfg(feature = "native")]
pub mod native;

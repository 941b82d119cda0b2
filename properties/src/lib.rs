//! What must hold for any bytes that arrive: one property a format, asked by the fuzzer and by plain tests alike.
//!
//! A property takes bytes, panics where the promise is broken, and returns whether the format took them: so that a
//! test can tell that its seeds lead inside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a property is an assertion: where it does not hold, it stops"
)]

pub mod answer;
pub mod authorized_keys;
pub mod directory;
pub mod frames;
pub mod key_line;
pub mod key_shard;
pub mod manifest;
pub mod open_header;
pub mod proxy_header;
pub mod sftp;
pub mod strand;
pub mod target;
pub mod token;
pub mod workspace_shard;

/// Asks whether a promise holds for these bytes; returns whether the format took them.
pub type Property = fn(&[u8]) -> bool;

/// Every property by its target's name, which is also its seeds' folder in `fuzz/corpus`.
pub const ALL: [(&str, Property); 14] = [
    ("answer", answer::check),
    ("authorized_keys", authorized_keys::check),
    ("directory", directory::check),
    ("frames", frames::check),
    ("key_line", key_line::check),
    ("key_shard", key_shard::check),
    ("manifest", manifest::check),
    ("open_header", open_header::check),
    ("proxy_header", proxy_header::check),
    ("sftp", sftp::check),
    ("strand", strand::check),
    ("target", target::check),
    ("token", token::check),
    ("workspace_shard", workspace_shard::check),
];

//! The tunnel protocol between agent and daemon, version 1: the wire as text, its numbers and its bounds.
//!
//! The agent dials the daemon over QUIC (ALPN `drawbridge/1`). The daemon's TLS identity is the raw Ed25519 public
//! key (RFC 7250) that the signed directory names. The agent opens the first bidirectional stream, the *control
//! stream*, and speaks first:
//!
//! ```text
//! agent  -> daemon   Hello      version, workspace, instance, accepts, agent version
//! daemon -> agent    Challenge  32 random bytes
//! agent  -> daemon   Proof      SSHSIG by the workspace key, see `proof`
//! daemon -> agent    Welcome    generation          or   Refuse  reason, words, milliseconds to wait
//! daemon -> agent    KeysChanged, Drain             any time after Welcome
//! either             Goodbye    reason, words       last frame
//! ```
//!
//! A frame is `uint32 length, byte type, fields`; fields are those of RFC 4251 section 5; the length counts type and
//! fields, and is at most [`MAX_FRAME`]. A frame with bytes left over, of an unknown type or out of turn ends the tunnel.
//!
//! Then the daemon opens one bidirectional stream for each inner SSH connection. It starts with one `Open` frame, and
//! carries records: see `resume`, by which a connection outlives its stream, and its tunnel.

pub mod frame;
pub mod instance;
pub mod open;
pub mod proof;
pub mod resume;

/// The version that this build speaks.
pub const VERSION: u32 = 1;
/// ALPN protocol name.
pub const ALPN: &[u8] = b"drawbridge/1";
/// Longest frame, type included, in bytes.
pub const MAX_FRAME: usize = 8 * 1024;
/// Longest text field, in bytes.
pub const MAX_TEXT: usize = 512;
/// Bytes in a challenge.
pub const NONCE: usize = 32;
/// Bytes of keying material exported from TLS (RFC 8446 section 7.5).
pub const EXPORTER: usize = 32;
/// Label of that export.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-drawbridge-tunnel-v1";
/// QUIC application code of an orderly end.
pub const CODE_GOODBYE: u32 = 0;
/// QUIC application code of a peer that broke this protocol.
pub const CODE_MISBEHAVED: u32 = 1;
/// QUIC application code of a stream that broke in the middle.
pub const CODE_BROKEN: u32 = 2;

//! The tunnel protocol between agent and daemon, version 1: the wire as text, its numbers and its bounds.
//!
//! The agent dials the daemon over QUIC (ALPN `drawbridge/1`), or over WebSocket (RFC 6455) in TLS 1.3 (ALPN `http/1.1`)
//! at the same port number of TCP. The daemon's TLS identity is the raw Ed25519 public key (RFC 7250) that the signed
//! directory names. The agent opens the first bidirectional stream, the *control stream*, and speaks first:
//!
//! ```text
//! agent  -> daemon   Hello      version, workspace, instance, accepts, alone, agent version
//! daemon -> agent    Challenge  32 random bytes
//! agent  -> daemon   Proof      SSHSIG by the workspace key, see `proof`
//! daemon -> agent    Welcome    generation, instance, alone
//!               or   Refuse     reason, words, milliseconds to wait
//! daemon -> agent    KeysChanged, Dial              any time after Welcome
//! either             Drain                          any time after Welcome: nothing new over this tunnel
//! either             Goodbye    reason, words       last frame but for:
//! either             Ping, answered by Pong         any time after Welcome, see `native::pulse`
//! ```
//!
//! A frame is `uint32 length, byte type, fields`; fields are those of RFC 4251 section 5; the length counts type and
//! fields, and is at most [`MAX_FRAME`]. A frame with bytes left over, of an unknown type or out of turn ends the tunnel.
//!
//! An *instance* names a process by chance. A workspace may have two at a time, and so may a daemon: the one that serves what
//! is new, and the one before it. The old one of an agent says that it does not accept; a process that is *alone* says so,
//! and the other side gives up what it kept for any other.
//!
//! Then the daemon opens one bidirectional stream for each inner SSH connection. It starts with one `Open` frame, and
//! carries records: see `resume`, by which a connection outlives its stream, and its tunnel.
//!
//! Over WebSocket each stream is a WebSocket of its own. The control stream's is asked for as `GET /v1/tunnel`. For any
//! other the daemon sends `Dial` with a random *ticket*, and the agent asks for `GET /v1/stream` with the header
//! `Authorization: Bearer <64 hex digits>`; a ticket opens one socket, for one tunnel, within a bounded time. Bytes
//! travel in binary messages of 1 to [`MAX_MESSAGE`] bytes; an empty binary message is the end of its direction. A
//! socket that ends without one is a reset, of both directions. A Close frame on the control stream's socket ends the
//! tunnel and says why. The tunnel's end is the end of its sockets.

pub mod frame;
pub mod instance;
pub mod open;
pub mod proof;
pub mod resume;
pub mod ticket;

/// The version that this build speaks.
pub const VERSION: u32 = 1;
/// ALPN protocol name over QUIC.
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
/// ALPN protocol name over TCP.
pub const ALPN_HTTP: &[u8] = b"http/1.1";
/// Where a WebSocket is asked for that is to be a control stream.
pub const PATH_TUNNEL: &str = "/v1/tunnel";
/// Where a WebSocket is asked for that is to be another stream.
pub const PATH_STREAM: &str = "/v1/stream";
/// Longest WebSocket message, in bytes: four TLS records.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// Application code, of QUIC, of an orderly end; over WebSocket 4000 more.
pub const CODE_GOODBYE: u32 = 0;
/// Application code of a peer that broke this protocol.
pub const CODE_MISBEHAVED: u32 = 1;
/// Application code of a stream that broke in the middle.
pub const CODE_BROKEN: u32 = 2;

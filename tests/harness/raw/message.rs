//! SSH messages put together by hand (RFC 4251 section 5), right or wrong.

use anyhow::{Context, Result, anyhow, ensure};
use ring::signature::Ed25519KeyPair;
use ssh_key::PrivateKey;

/// Bytes that a channel of ours may be sent.
const WINDOW: u32 = 2 << 20;
/// Of them, in one packet.
const PACKET: u32 = 32 << 10;

/// Message numbers (RFC 4250 section 4.1.2).
#[allow(missing_docs, reason = "the names are the standard's")]
pub mod number {
    pub const DISCONNECT: u8 = 1;
    pub const IGNORE: u8 = 2;
    pub const UNIMPLEMENTED: u8 = 3;
    pub const DEBUG: u8 = 4;
    pub const SERVICE_REQUEST: u8 = 5;
    pub const SERVICE_ACCEPT: u8 = 6;
    pub const EXT_INFO: u8 = 7;
    pub const KEXINIT: u8 = 20;
    pub const NEWKEYS: u8 = 21;
    pub const KEX_ECDH_INIT: u8 = 30;
    pub const KEX_ECDH_REPLY: u8 = 31;
    pub const USERAUTH_REQUEST: u8 = 50;
    pub const USERAUTH_FAILURE: u8 = 51;
    pub const USERAUTH_SUCCESS: u8 = 52;
    pub const USERAUTH_BANNER: u8 = 53;
    pub const USERAUTH_PK_OK: u8 = 60;
    pub const GLOBAL_REQUEST: u8 = 80;
    pub const REQUEST_SUCCESS: u8 = 81;
    pub const REQUEST_FAILURE: u8 = 82;
    pub const CHANNEL_OPEN: u8 = 90;
    pub const CHANNEL_OPEN_CONFIRMATION: u8 = 91;
    pub const CHANNEL_OPEN_FAILURE: u8 = 92;
    pub const CHANNEL_WINDOW_ADJUST: u8 = 93;
    pub const CHANNEL_DATA: u8 = 94;
    pub const CHANNEL_EXTENDED_DATA: u8 = 95;
    pub const CHANNEL_EOF: u8 = 96;
    pub const CHANNEL_CLOSE: u8 = 97;
    pub const CHANNEL_REQUEST: u8 = 98;
    pub const CHANNEL_SUCCESS: u8 = 99;
    pub const CHANNEL_FAILURE: u8 = 100;
}

/// A message, or a part of one.
#[derive(Clone, Debug, Default)]
pub struct Message(Vec<u8>);

impl Message {
    /// One of that number.
    pub fn new(number: u8) -> Self {
        Self(vec![number])
    }

    /// Without a number.
    pub fn bare() -> Self {
        Self::default()
    }

    /// With a length and these bytes.
    #[must_use]
    pub fn string(self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.u32(bytes.len() as u32).raw(bytes)
    }

    /// With a number of four bytes.
    #[must_use]
    pub fn u32(self, n: u32) -> Self {
        self.raw(&n.to_be_bytes())
    }

    /// With a boolean.
    #[must_use]
    pub fn flag(self, flag: bool) -> Self {
        self.raw(&[flag.into()])
    }

    /// With a positive number of any size (`mpint`).
    #[must_use]
    pub fn mpint(self, bytes: &[u8]) -> Self {
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
        let bytes = &bytes[start..];
        let sign = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
        self.string([if sign { &[0][..] } else { &[] }, bytes].concat())
    }

    /// With bytes as they are.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// All of it.
    pub fn bytes(self) -> Vec<u8> {
        self.0
    }
}

/// A request for a channel of that kind, numbered `ours`.
pub fn open(kind: &str, ours: u32) -> Message {
    Message::new(number::CHANNEL_OPEN).string(kind).u32(ours).u32(WINDOW).u32(PACKET)
}

/// A request for a way to `host` and `port` (RFC 4254 section 7.2).
pub fn direct(ours: u32, host: impl AsRef<[u8]>, port: u32) -> Message {
    open("direct-tcpip", ours).string(host).u32(port).string("127.0.0.1").u32(1)
}

/// A message about the server's channel `theirs`.
pub fn about(number: u8, theirs: u32) -> Message {
    Message::new(number).u32(theirs)
}

/// A request on a channel that wants an answer.
pub fn request(theirs: u32, kind: &str) -> Message {
    about(number::CHANNEL_REQUEST, theirs).string(kind).flag(true)
}

/// A channel's data.
pub fn data(theirs: u32, bytes: &[u8]) -> Message {
    about(number::CHANNEL_DATA, theirs).string(bytes)
}

/// The server's number for channel `ours`, from its confirmation.
pub fn theirs(confirmation: &[u8], ours: u32) -> Result<u32> {
    ensure!(u32_at(confirmation, 1)? == ours, "another channel is confirmed");
    u32_at(confirmation, 5)
}

/// Which channel of ours an open failed for, with which code and words.
pub fn failure(packet: &[u8]) -> Result<(u32, u32, String)> {
    ensure!(packet.first() == Some(&number::CHANNEL_OPEN_FAILURE), "no refusal of a channel: {packet:?}");
    Ok((u32_at(packet, 1)?, u32_at(packet, 5)?, string_at(packet, 9)?))
}

/// Why the server disconnects.
pub fn words(disconnect: &[u8]) -> Result<String> {
    string_at(disconnect, 5)
}

/// A signature by an Ed25519 key, as messages have it (RFC 8709 section 6).
pub fn signature(key: &PrivateKey, signed: &[u8]) -> Result<Vec<u8>> {
    let seed = key.key_data().ed25519().context("no Ed25519 key")?.private.to_bytes();
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| anyhow!("no key"))?;
    Ok(Message::bare().string("ssh-ed25519").string(pair.sign(signed)).bytes())
}

/// The number of four bytes at `at`.
pub fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    let bytes = bytes.get(at..at + 4).context("a message that is too short")?;
    Ok(u32::from_be_bytes(bytes.try_into()?))
}

/// The string at `at`.
pub fn slice_at(bytes: &[u8], at: usize) -> Result<&[u8]> {
    let length = u32_at(bytes, at)? as usize;
    bytes.get(at + 4..at + 4 + length).context("a message that is too short")
}

fn string_at(bytes: &[u8], at: usize) -> Result<String> {
    Ok(String::from_utf8(slice_at(bytes, at)?.to_vec())?)
}

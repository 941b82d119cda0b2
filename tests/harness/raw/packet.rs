//! The packets of RFC 4253 section 6: clear before keys are exchanged, AES-GCM afterwards (RFC 5647).

use anyhow::{Result, anyhow};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::io::{self, Read};

/// Padding fills blocks of this size, at least four bytes of it.
const BLOCK: usize = 16;
const LEAST_PADDING: usize = 4;
const LENGTH: usize = 4;
const TAG: usize = 16;
/// Longest packet that we take.
const LONGEST: usize = 1 << 20;

/// Both directions.
#[derive(Default)]
pub(super) struct Packets {
    outbound: Option<Gcm>,
    inbound: Option<Gcm>,
}

/// One direction's cipher.
pub(super) struct Gcm {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
}

impl Packets {
    /// Everything from now on is enciphered.
    pub(super) fn encipher(&mut self, outbound: Gcm, inbound: Gcm) {
        *self = Self { outbound: Some(outbound), inbound: Some(inbound) };
    }

    pub(super) fn seal(&mut self, payload: &[u8]) -> Result<Vec<u8>> {
        // The length counts for the blocks of clear packets, and not for those of AES-GCM.
        let ahead = 1 + if self.outbound.is_some() { 0 } else { LENGTH };
        let rest = (ahead + payload.len() + LEAST_PADDING) % BLOCK;
        let padding = LEAST_PADDING + (BLOCK - rest) % BLOCK;
        let content = [&[padding as u8][..], payload, &vec![0; padding]].concat();
        self.seal_content(&content)
    }

    pub(super) fn seal_content(&mut self, content: &[u8]) -> Result<Vec<u8>> {
        let length = (content.len() as u32).to_be_bytes();
        let mut sealed = content.to_vec();
        if let Some(cipher) = &mut self.outbound {
            let sealing = cipher.key.seal_in_place_append_tag(next(&mut cipher.iv), Aad::from(length), &mut sealed);
            sealing.map_err(|_| anyhow!("cannot encipher"))?;
        }
        Ok([&length[..], &sealed].concat())
    }

    /// The payload of the next packet.
    pub(super) fn open(&mut self, wire: &mut impl Read) -> io::Result<Vec<u8>> {
        let mut length = [0; LENGTH];
        wire.read_exact(&mut length)?;
        let long = u32::from_be_bytes(length) as usize;
        let mut content = vec![0; if long > LONGEST { return Err(odd()) } else { long }];
        wire.read_exact(&mut content)?;
        if let Some(cipher) = &mut self.inbound {
            let mut tag = [0; TAG];
            wire.read_exact(&mut tag)?;
            content.extend(tag);
            let nonce = next(&mut cipher.iv);
            let clear = cipher.key.open_in_place(nonce, Aad::from(length), &mut content).map_err(|_| odd())?.len();
            content.truncate(clear);
        }
        let padding = usize::from(*content.first().ok_or_else(odd)?);
        let end = content.len().checked_sub(padding).ok_or_else(odd)?;
        Ok(content.get(1..end).ok_or_else(odd)?.to_vec())
    }
}

impl Gcm {
    pub(super) fn new(key: &[u8], iv: &[u8]) -> Result<Self> {
        let key = UnboundKey::new(&AES_128_GCM, key).map_err(|_| anyhow!("no key"))?;
        Ok(Self { key: LessSafeKey::new(key), iv: iv.try_into()? })
    }
}

/// RFC 5647 section 7.1: four fixed bytes, and a counter.
fn next(iv: &mut [u8; NONCE_LEN]) -> Nonce {
    let nonce = Nonce::assume_unique_for_key(*iv);
    for byte in iv[4..].iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            break;
        }
    }
    nonce
}

fn odd() -> io::Error {
    io::Error::other("a packet that is none")
}

//! The SHA-256 fingerprint of a public key, as `ssh-keygen -lf` prints it.

use base64ct::{Base64, Base64Unpadded, Encoding};
use serde::{Deserialize, Deserializer, Serialize};
use ssh_key::{HashAlg, PublicKey, public::KeyData};
use std::{fmt, str::FromStr};

/// SHA-256 over a key's wire encoding (RFC 4253 section 6.6); prints as `SHA256:<base64, no padding>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 32]);

/// The text is not a SHA-256 fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is 'SHA256:' and 43 characters of base64, as `ssh-keygen -lf` prints it")]
pub struct NotAFingerprint;

impl Fingerprint {
    /// The fingerprint of `key`.
    pub fn of(key: &PublicKey) -> Self {
        Self::of_data(key.key_data())
    }

    /// The fingerprint of `key`, without its comment.
    pub fn of_data(key: &KeyData) -> Self {
        Self(key.fingerprint(HashAlg::Sha256).sha256().unwrap_or_default())
    }

    /// Lower-case hex, for places where base64's `/` and `+` are in the way.
    pub fn to_hex(self) -> String {
        crate::hex::encode(&self.0)
    }
}

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    /// Takes `SHA256:<base64>` and the bare base64, with or without its padding.
    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let bare = text.strip_prefix("SHA256:").unwrap_or(text);
        let mut bytes = [0; 32];
        let decoded = match bare.len() {
            43 => Base64Unpadded::decode(bare, &mut bytes).map(<[u8]>::len),
            44 => Base64::decode(bare, &mut bytes).map(<[u8]>::len),
            _ => return Err(NotAFingerprint),
        };
        matches!(decoded, Ok(32)).then_some(Self(bytes)).ok_or(NotAFingerprint)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHA256:{}", Base64Unpadded::encode_string(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJuUKs/bV1ZouClZX5d1hGLfovnl1NeE5L0q/IzcVZtC";
    /// `ssh-keygen -lf` of that key.
    const PRINTED: &str = "SHA256:kyACqo6dCQiHxwkTuio8sXvt+GX5xd8eHYNywN0h7Oo";

    #[test]
    fn both_spellings_are_one_fingerprint() {
        let key = PublicKey::from_openssh(KEY).unwrap();
        let fingerprint = Fingerprint::of(&key);
        let text = fingerprint.to_string();
        assert_eq!(text, PRINTED);
        let bare = text.strip_prefix("SHA256:").unwrap();
        assert_eq!(bare.parse(), Ok(fingerprint));
        assert_eq!(text.parse(), Ok(fingerprint));
        assert_eq!(format!("{text}=").parse(), Ok(fingerprint));
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in ["", "SHA256:", "MD5:00", "SHA256:AAAA", &"=".repeat(43), &"A".repeat(45), &"é".repeat(22)] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(NotAFingerprint), "{bad}");
        }
    }
}

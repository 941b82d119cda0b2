//! A user's public key line: what a key API must refuse, and the one canonical form of what it takes.

use crate::fingerprint::Fingerprint;
use ssh_key::{Mpint, PublicKey, public::KeyData};

/// Longest line taken, in bytes; an RSA-8192 line has 1,400.
pub const MAX_LINE: usize = 8 * 1024;
/// Longest title, in bytes.
pub const MAX_TITLE: usize = 255;

/// A public key that may log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserKey {
    line: String,
    title: String,
    fingerprint: Fingerprint,
}

/// Why a line is not taken. The text is the title of the 400 that its sender gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// Nothing there.
    #[error("The public key is empty")]
    Empty,
    /// Longer than [`MAX_LINE`].
    #[error("The public key is too long")]
    TooLong,
    /// A private key: never echoed, never logged.
    #[error("This is a private key")]
    Private,
    /// A second line, or a control character.
    #[error("A public key is a single line without control characters")]
    NotOneLine,
    /// `authorized_keys` options in front.
    #[error("Options in front of a public key are not accepted")]
    Options,
    /// A certificate, or a CA's line.
    #[error("SSH certificates are not accepted")]
    Certificate,
    /// DSA.
    #[error("DSA keys are not accepted")]
    Dsa,
    /// Fewer than 2048 or more than 8192 bits.
    #[error("RSA keys must have 2048 to 8192 bits")]
    RsaSize,
    /// An even exponent or 1.
    #[error("The RSA exponent must be odd and at least 3")]
    RsaExponent,
    /// A point off the curve or of low order.
    #[error("The Ed25519 point is not usable")]
    WeakPoint,
    /// Nothing that we know.
    #[error("Unsupported key type")]
    Unsupported,
    /// Not base64, truncated, or the inside says another type than the outside.
    #[error("Not an OpenSSH public key")]
    Malformed,
    /// Longer than [`MAX_TITLE`], or with control characters.
    #[error("A title has at most 255 bytes and no control characters")]
    Title,
}

impl KeyFault {
    /// What the sender should do about it.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Private => {
                "Never send a private key anywhere: consider it exposed, replace it, and send the line in the file ending in .pub."
            }
            Self::Dsa | Self::RsaSize | Self::RsaExponent | Self::WeakPoint | Self::Unsupported => {
                "Accepted are Ed25519, ECDSA (256, 384, 521), RSA of 2048 to 8192 bits, and their security-key forms. `ssh-keygen -t ed25519` makes a good one."
            }
            Self::Options | Self::Certificate => "Send the plain line: type, base64 and an optional comment.",
            Self::Title => "Shorten the title.",
            _ => "Send one line as in a .pub file, for example 'ssh-ed25519 AAAAC3Nz... name'.",
        }
    }
}

impl UserKey {
    /// Parses one line as in a `.pub` file; surrounding white space is forgiven.
    pub fn parse(text: &str) -> Result<Self, KeyFault> {
        let line = text.trim_matches([' ', '\t', '\r', '\n']);
        screen(line)?;
        let (algorithm, rest) = split_word(line);
        let (base64, comment) = split_word(rest);
        let key = decode(algorithm, base64)?;
        acceptable(key.key_data())?;
        let title = title(comment)?;
        let fingerprint = Fingerprint::of(&key);
        Ok(Self { line: format!("{algorithm} {base64}"), title, fingerprint })
    }

    /// Replaces the comment by a title of the user's choice.
    pub fn with_title(mut self, text: &str) -> Result<Self, KeyFault> {
        self.title = title(text.trim())?;
        Ok(self)
    }

    /// `<type> <base64>`, without the comment.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// The comment, or the title that replaced it; may be empty.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The key's fingerprint.
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

/// What can be told without decoding.
fn screen(line: &str) -> Result<(), KeyFault> {
    if line.is_empty() {
        return Err(KeyFault::Empty);
    }
    if line.contains("PRIVATE KEY") || line.starts_with("PuTTY-User-Key-File") {
        return Err(KeyFault::Private);
    }
    if line.len() > MAX_LINE {
        return Err(KeyFault::TooLong);
    }
    if line.chars().any(|c| c.is_control() && c != '\t') {
        return Err(KeyFault::NotOneLine);
    }
    Ok(())
}

fn split_word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    (word, rest.trim_start_matches([' ', '\t']))
}

fn decode(algorithm: &str, base64: &str) -> Result<PublicKey, KeyFault> {
    if algorithm.contains("-cert-") || algorithm.starts_with("cert-authority") {
        return Err(KeyFault::Certificate);
    }
    if algorithm == "ssh-dss" {
        return Err(KeyFault::Dsa);
    }
    if !looks_like_key_type(algorithm) {
        return Err(if looks_like_key_type(base64) { KeyFault::Options } else { KeyFault::Unsupported });
    }
    let key = PublicKey::from_openssh(&format!("{algorithm} {base64}")).map_err(|_| KeyFault::Malformed)?;
    let canonical = key.to_openssh().is_ok_and(|line| line == format!("{algorithm} {base64}"));
    canonical.then_some(key).ok_or(KeyFault::Malformed)
}

fn looks_like_key_type(word: &str) -> bool {
    ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-", "sk-ssh-ed25519", "sk-ecdsa-sha2-"].iter().any(|known| word.starts_with(known))
}

fn acceptable(key: &KeyData) -> Result<(), KeyFault> {
    match key {
        KeyData::Ed25519(key) => strong_point(&key.0),
        KeyData::SkEd25519(key) => strong_point(&key.public_key().0),
        KeyData::Ecdsa(_) | KeyData::SkEcdsaSha2NistP256(_) => Ok(()),
        KeyData::Rsa(key) => rsa(key.n(), key.e()),
        KeyData::Dsa(_) => Err(KeyFault::Dsa),
        KeyData::Certificate(_) => Err(KeyFault::Certificate),
        _ => Err(KeyFault::Unsupported),
    }
}

/// A low-order point lets anybody sign; what is no point lets nobody.
fn strong_point(bytes: &[u8; 32]) -> Result<(), KeyFault> {
    let point = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| KeyFault::WeakPoint)?;
    if point.is_weak() { Err(KeyFault::WeakPoint) } else { Ok(()) }
}

/// Counts the bits itself: `key_size()` is bytes times eight.
fn rsa(modulus: &Mpint, exponent: &Mpint) -> Result<(), KeyFault> {
    if !(2048..=8192).contains(&bits(modulus)) {
        return Err(KeyFault::RsaSize);
    }
    let odd = exponent.as_positive_bytes().and_then(<[u8]>::last).is_some_and(|last| last & 1 == 1);
    if odd && bits(exponent) >= 2 { Ok(()) } else { Err(KeyFault::RsaExponent) }
}

fn bits(number: &Mpint) -> usize {
    let bytes = number.as_positive_bytes().unwrap_or_default();
    let unused = bytes.first().map_or(0, |first| first.leading_zeros() as usize);
    (bytes.len() * 8).saturating_sub(unused)
}

fn title(text: &str) -> Result<String, KeyFault> {
    let fits = text.len() <= MAX_TITLE && !text.chars().any(char::is_control);
    fits.then(|| text.to_string()).ok_or(KeyFault::Title)
}

#[cfg(test)]
mod tests;

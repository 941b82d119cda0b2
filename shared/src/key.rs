//! A user's public key line: what a key API must refuse, and the one canonical form of what it takes.

use crate::fingerprint::Fingerprint;
use ssh_key::{Mpint, PublicKey, public::KeyData};

/// Longest line taken, in bytes; an RSA-8192 line has 1,400.
pub const MAX_LINE: usize = 8 * 1024;
/// Longest title, in bytes.
pub const MAX_TITLE: usize = 255;
/// How every label of a private key ends.
const PRIVATE: &[u8] = b"PRIVATE KEY";
/// How far in front of that a label begins at most; those in use take half of it.
const MAX_LABEL: usize = 48;
/// Longest RSA exponent, in bits: ring, which verifies for daemon and agent, takes none of 2^33 or more.
const MAX_EXPONENT_BITS: usize = 33;

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
    /// An even exponent, 1, or one that no verifier takes.
    #[error("The RSA exponent must be odd, at least 3 and below 2^33")]
    RsaExponent,
    /// An even modulus: no product of two large primes.
    #[error("The RSA modulus must be odd")]
    RsaModulus,
    /// A point off the curve or of low order.
    #[error("The Ed25519 point is not usable")]
    WeakPoint,
    /// A point without its second coordinate.
    #[error("The ECDSA point must be uncompressed")]
    CompressedPoint,
    /// Nothing that we know.
    #[error("Unsupported key type")]
    Unsupported,
    /// Not base64, truncated, or the inside says another type than the outside.
    #[error("Not an OpenSSH public key")]
    Malformed,
    /// Longer than [`MAX_TITLE`], or with control characters.
    #[error("A title has at most 255 bytes and no control characters")]
    Title,
    /// The same of a comment that nobody replaced.
    #[error("A key's comment has at most 255 bytes and no tabs")]
    Comment,
}

impl KeyFault {
    /// What the sender should do about it.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Private => {
                "Never send a private key anywhere: consider it exposed, replace it, and send the line in the file ending in .pub."
            }
            Self::Dsa
            | Self::RsaSize
            | Self::RsaExponent
            | Self::RsaModulus
            | Self::WeakPoint
            | Self::CompressedPoint
            | Self::Unsupported => {
                "Accepted are Ed25519, ECDSA (256, 384, 521), RSA of 2048 to 8192 bits, and their security-key forms. `ssh-keygen -t ed25519` makes a good one."
            }
            Self::Options | Self::Certificate => "Send the plain line: type, base64 and an optional comment.",
            Self::Title => "Choose a shorter title, on one line.",
            Self::Comment => "Leave out or shorten what stands behind the key, or send a title in its place.",
            _ => "Send one line as in a .pub file, for example 'ssh-ed25519 AAAAC3Nz... name'.",
        }
    }
}

impl UserKey {
    /// Parses one line as in a `.pub` file; surrounding white space is forgiven.
    pub fn parse(text: &str) -> Result<Self, KeyFault> {
        Self::titled(text, None)
    }

    /// The same with a title of the user's choice, if there is one: then the comment is not kept, and may be too long.
    pub fn titled(text: &str, title: Option<&str>) -> Result<Self, KeyFault> {
        let line = text.trim_matches([' ', '\t', '\r', '\n']);
        screen(line)?;
        let (algorithm, rest) = split_word(line);
        let (base64, comment) = split_word(rest);
        known(algorithm, line)?;
        let key = decode(algorithm, base64)?;
        acceptable(key.key_data())?;
        let title = match title {
            Some(title) => chosen(title)?,
            None => written(comment).ok_or(KeyFault::Comment)?,
        };
        let fingerprint = Fingerprint::of(&key);
        Ok(Self { line: format!("{algorithm} {base64}"), title, fingerprint })
    }

    /// Replaces the comment by a title of the user's choice.
    pub fn with_title(mut self, text: &str) -> Result<Self, KeyFault> {
        self.title = chosen(text)?;
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

/// Whether `text` has the armour of a private key: PEM's (RFC 7468), or with a blank that of SSH2's own files.
pub fn holds_private_key(text: &[u8]) -> bool {
    let mut found = text.windows(PRIVATE.len()).enumerate().filter(|(_, window)| *window == PRIVATE);
    found.any(|(at, _)| is_armor(text.get(at.saturating_sub(MAX_LABEL)..at).unwrap_or_default()))
}

/// Whether it ends in dashes and in how a label begins: `-----BEGIN OPENSSH `.
fn is_armor(before: &[u8]) -> bool {
    let in_label = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b' ';
    let Some(dash) = before.iter().rposition(|byte| !in_label(byte)) else { return false };
    let label = before.get(dash.saturating_add(1)..).unwrap_or_default().trim_ascii_start();
    before.get(dash) == Some(&b'-') && (label.starts_with(b"BEGIN") || label.starts_with(b"END"))
}

/// What can be told without decoding.
fn screen(line: &str) -> Result<(), KeyFault> {
    if line.is_empty() {
        return Err(KeyFault::Empty);
    }
    if holds_private_key(line.as_bytes()) || line.starts_with("PuTTY-User-Key-File") {
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

/// What can be told by the first word.
fn known(algorithm: &str, line: &str) -> Result<(), KeyFault> {
    if algorithm.contains("-cert-") || algorithm.starts_with("cert-authority") {
        return Err(KeyFault::Certificate);
    }
    if algorithm == "ssh-dss" {
        return Err(KeyFault::Dsa);
    }
    if looks_like_key_type(algorithm) {
        return Ok(());
    }
    Err(if looks_like_key_type(behind_options(line)) { KeyFault::Options } else { KeyFault::Unsupported })
}

/// What stands behind options, which end at the first blank outside quotes (sshd(8), AUTHORIZED_KEYS FILE FORMAT).
fn behind_options(line: &str) -> &str {
    let (mut quoted, mut escaped) = (false, false);
    let end = line.find(|c| {
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\';
        !quoted && matches!(c, ' ' | '\t')
    });
    end.and_then(|end| line.get(end..)).unwrap_or_default().trim_start_matches([' ', '\t'])
}

fn decode(algorithm: &str, base64: &str) -> Result<PublicKey, KeyFault> {
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
        KeyData::Ecdsa(key) => uncompressed(key.as_sec1_bytes()),
        KeyData::SkEcdsaSha2NistP256(key) => uncompressed(key.ec_point().as_bytes()),
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

/// OpenSSH takes no other form (RFC 5656 section 3.1); the length is the curve's when a point was decoded. Whether it lies on
/// the curve is not asked: one that does not lets nobody in, and the arithmetic weighs more than the Worker may.
fn uncompressed(point: &[u8]) -> Result<(), KeyFault> {
    const TAG: u8 = 4;
    if point.first() == Some(&TAG) { Ok(()) } else { Err(KeyFault::CompressedPoint) }
}

/// Counts the bits itself: `key_size()` is bytes times eight.
fn rsa(modulus: &Mpint, exponent: &Mpint) -> Result<(), KeyFault> {
    if !(2048..=8192).contains(&bits(modulus)) {
        return Err(KeyFault::RsaSize);
    }
    if !odd(modulus) {
        return Err(KeyFault::RsaModulus);
    }
    let usable = (2..=MAX_EXPONENT_BITS).contains(&bits(exponent));
    if odd(exponent) && usable { Ok(()) } else { Err(KeyFault::RsaExponent) }
}

fn odd(number: &Mpint) -> bool {
    number.as_positive_bytes().and_then(<[u8]>::last).is_some_and(|last| last & 1 == 1)
}

fn bits(number: &Mpint) -> usize {
    let bytes = number.as_positive_bytes().unwrap_or_default();
    let unused = bytes.first().map_or(0, |first| first.leading_zeros() as usize);
    (bytes.len() * 8).saturating_sub(unused)
}

fn chosen(title: &str) -> Result<String, KeyFault> {
    if holds_private_key(title.as_bytes()) {
        return Err(KeyFault::Private);
    }
    written(title.trim()).ok_or(KeyFault::Title)
}

/// What a title and a comment may be.
fn written(text: &str) -> Option<String> {
    let fits = text.len() <= MAX_TITLE && !text.chars().any(char::is_control);
    fits.then(|| text.to_string())
}

#[cfg(test)]
mod tests;

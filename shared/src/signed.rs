//! Signed documents: a line of JSON and an armored SSHSIG behind it, which `ssh-keygen -Y verify` checks by hand.
//!
//! The first line is exactly what was signed, its newline included (OpenSSH `PROTOCOL.sshsig`). While keys are rolled a
//! second signature follows the first; one by a trust root is enough. A signature's own key is no evidence.

use crate::outage::Disbelief;
use serde::{Serialize, de::DeserializeOwned};
use ssh_key::{HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};
use std::str::FromStr;

const ARMOR: &str = "-----BEGIN SSH SIGNATURE-----";
/// Longest armored signature: one by Ed25519 has 300 bytes.
const MAX_ARMOR: usize = 2048;
/// Signatures of one document, and keys that the edge may announce: the one that goes and the one that comes.
pub const MAX_SIGNERS: usize = 2;

/// Why a signed document is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignedFault {
    /// No signature behind the payload, or not one.
    #[error("the document carries no SSH signature")]
    Unsigned,
    /// Signed by a key that is not pinned.
    #[error("the document is signed by a key that is not trusted here")]
    Untrusted,
    /// The signature is for other bytes or another purpose.
    #[error("the signature does not fit the document")]
    Forged,
    /// Signed, and still not what it should be.
    #[error("the signed document cannot be read: {0}")]
    Malformed(String),
}

impl SignedFault {
    /// What logs and metrics call it.
    pub const fn disbelief(&self) -> Disbelief {
        match self {
            Self::Unsigned => Disbelief::Unsigned,
            Self::Untrusted => Disbelief::WrongKey,
            Self::Forged => Disbelief::Forged,
            Self::Malformed(_) => Disbelief::Malformed,
        }
    }
}

/// The document could not be signed: the key cannot sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing key cannot sign")]
pub struct CannotSign;

/// The edge's public signing keys that a verifier trusts: at least one, all Ed25519.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustRoots(Vec<PublicKey>);

/// The text holds no usable trust root.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustFault {
    /// Nothing but blanks and comments.
    #[error("no trust key given: copy the edge's public signing key, a line that starts with ssh-ed25519")]
    None,
    /// A line that is no Ed25519 public key.
    #[error("line {0} is not an ssh-ed25519 public key")]
    Line(usize),
}

impl FromStr for TrustRoots {
    type Err = TrustFault;

    /// Public key lines; blank lines and `#` comments are skipped.
    fn from_str(text: &str) -> Result<Self, TrustFault> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
        let keys = lines.map(|(at, line)| root(line.trim()).ok_or(TrustFault::Line(at + 1)));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(TrustFault::None) } else { Ok(Self(keys)) }
    }
}

impl TrustRoots {
    /// Whether all keys of `other` are among these, whatever stands behind them in their lines.
    pub fn cover(&self, other: &Self) -> bool {
        other.0.iter().all(|key| self.0.iter().any(|own| own.key_data() == key.key_data()))
    }

    /// One line a key.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().filter_map(|key| key.to_openssh().ok())
    }

    /// These and the first [`MAX_SIGNERS`] keys that a believed document announces; what is no Ed25519 line is left out.
    #[must_use]
    pub fn with(&self, signers: &[String]) -> Self {
        let announced = signers.iter().take(MAX_SIGNERS).filter_map(|line| root(line.trim()));
        let mut all = self.0.clone();
        all.extend(announced);
        Self(all)
    }
}

fn root(line: &str) -> Option<PublicKey> {
    PublicKey::from_openssh(line).ok().filter(|key| key.key_data().is_ed25519())
}

/// Writes `payload` as one line of JSON, signed by each of `keys` for `namespace`.
pub fn sign<T: Serialize>(keys: &[PrivateKey], namespace: &str, payload: &T) -> Result<String, CannotSign> {
    let mut text = serde_json::to_string(payload).map_err(|_| CannotSign)?;
    text.push('\n');
    let signatures = keys.iter().map(|key| detached(key, namespace, text.as_bytes()));
    let signatures = signatures.collect::<Result<String, _>>()?;
    Ok(text + &signatures)
}

/// The armored signature of `message` for `namespace`.
pub fn detached(key: &PrivateKey, namespace: &str, message: &[u8]) -> Result<String, CannotSign> {
    let signature = key.sign(namespace, HashAlg::Sha512, message).map_err(|_| CannotSign)?;
    signature.to_pem(LineEnding::LF).map_err(|_| CannotSign)
}

/// Checks a [`detached`] signature by `key`.
pub fn verify_detached(key: &PublicKey, namespace: &str, message: &[u8], armor: &str) -> Result<(), SignedFault> {
    let signature = parse_armor(armor)?;
    key.verify(namespace, message, &signature).map_err(|_| SignedFault::Forged)
}

/// Reads a document signed by one of `trust` for `namespace`. Nothing of the payload is parsed before a signature holds.
pub fn verify<T: DeserializeOwned>(text: &str, trust: &TrustRoots, namespace: &str) -> Result<T, SignedFault> {
    let (payload, armors) = text.split_at(text.find('\n').ok_or(SignedFault::Unsigned)? + 1);
    let mut verdict = Err(SignedFault::Unsigned);
    for armor in each_armor(armors) {
        verdict = check(payload, armor, trust, namespace);
        if verdict.is_ok() {
            break;
        }
    }
    verdict?;
    serde_json::from_str(payload).map_err(|fault| SignedFault::Malformed(fault.to_string()))
}

/// The armored signatures that `text` consists of, at most [`MAX_SIGNERS`].
fn each_armor(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest.strip_prefix(ARMOR)?;
        let end = rest[ARMOR.len()..].find(ARMOR).map_or(rest.len(), |at| ARMOR.len() + at);
        let (armor, behind) = rest.split_at(end);
        rest = behind;
        Some(armor)
    })
    .take(MAX_SIGNERS)
}

fn check(payload: &str, armor: &str, trust: &TrustRoots, namespace: &str) -> Result<(), SignedFault> {
    let signature = parse_armor(armor)?;
    let signer = trust.0.iter().find(|key| key.key_data() == signature.public_key()).ok_or(SignedFault::Untrusted)?;
    signer.verify(namespace, payload.as_bytes(), &signature).map_err(|_| SignedFault::Forged)
}

fn parse_armor(armor: &str) -> Result<SshSig, SignedFault> {
    if armor.len() > MAX_ARMOR {
        return Err(SignedFault::Unsigned);
    }
    SshSig::from_pem(armor).map_err(|_| SignedFault::Unsigned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssh_key::private::Ed25519Keypair;

    fn key(seed: u8) -> PrivateKey {
        Ed25519Keypair::from_seed(&[seed; 32]).into()
    }

    fn trust(key: &PrivateKey) -> TrustRoots {
        format!("# edge\n\n{}\n", key.public_key().to_openssh().unwrap()).parse().unwrap()
    }

    #[test]
    fn a_document_comes_back_as_it_was_signed() {
        let text = sign(&[key(1)], "demo@drawbridge", &vec![1, 2, 3]).unwrap();
        assert!(text.starts_with("[1,2,3]\n-----BEGIN SSH SIGNATURE-----\n"));
        assert_eq!(verify(&text, &trust(&key(1)), "demo@drawbridge"), Ok(vec![1, 2, 3]));
    }

    #[test]
    fn anything_else_is_refused() {
        let text = sign(&[key(1)], "demo@drawbridge", &vec![1, 2, 3]).unwrap();
        let check = |text: &str, by: &PrivateKey, namespace: &str| verify::<Vec<u8>>(text, &trust(by), namespace).unwrap_err();
        assert_eq!(check(&text, &key(2), "demo@drawbridge"), SignedFault::Untrusted);
        assert_eq!(check(&text, &key(1), "other@drawbridge"), SignedFault::Forged);
        assert_eq!(check(&text.replace("[1,", "[9,"), &key(1), "demo@drawbridge"), SignedFault::Forged);
        assert_eq!(check("[1,2,3]\n", &key(1), "demo@drawbridge"), SignedFault::Unsigned);
        assert_eq!(check(&text[..text.len() - 60], &key(1), "demo@drawbridge"), SignedFault::Unsigned);
        assert_eq!(check(&format!("{text}{}", "x".repeat(4096)), &key(1), "demo@drawbridge"), SignedFault::Unsigned);
        let wrong_shape = sign(&[key(1)], "demo@drawbridge", &"text").unwrap();
        assert!(matches!(check(&wrong_shape, &key(1), "demo@drawbridge"), SignedFault::Malformed(_)));
    }

    #[test]
    fn while_keys_are_rolled_either_signature_is_enough() {
        let text = sign(&[key(1), key(2)], "demo@drawbridge", &vec![7]).unwrap();
        let read = |text: &str, by: u8| verify::<Vec<u8>>(text, &trust(&key(by)), "demo@drawbridge");
        assert_eq!((read(&text, 1), read(&text, 2)), (Ok(vec![7]), Ok(vec![7])));
        assert_eq!(read(&text, 3), Err(SignedFault::Untrusted));
        let third = text.clone() + &detached(&key(3), "demo@drawbridge", b"[7]\n").unwrap();
        assert_eq!(read(&third, 3), Err(SignedFault::Untrusted), "a third signature is not looked at");
        assert_eq!(read(&text.replace("[7]", "[8]"), 2), Err(SignedFault::Forged));
    }

    #[test]
    fn announced_keys_are_trusted_beside_the_pinned_ones() {
        let line = |seed| key(seed).public_key().to_openssh().unwrap();
        let trust = trust(&key(1)).with(&["ssh-rsa AAAA".into(), line(2), line(3)]);
        let read = |by: u8| verify::<u8>(&sign(&[key(by)], "demo@drawbridge", &1).unwrap(), &trust, "demo@drawbridge");
        assert_eq!((read(1), read(2)), (Ok(1), Ok(1)));
        assert_eq!(read(3), Err(SignedFault::Untrusted), "more than {MAX_SIGNERS} are not taken");
    }

    #[test]
    fn trust_roots_are_ed25519_lines() {
        assert_eq!("".parse::<TrustRoots>().unwrap_err(), TrustFault::None);
        assert_eq!("# none\nssh-rsa AAAA".parse::<TrustRoots>().unwrap_err(), TrustFault::Line(2));
    }
}

//! Signed documents: a JSON payload and an armored SSHSIG behind it, which `ssh-keygen -Y verify` checks by hand.
//!
//! The text up to the line `-----BEGIN SSH SIGNATURE-----` is exactly what was signed, its final newline included
//! (OpenSSH `PROTOCOL.sshsig`). The signing key is one of the pinned trust roots; the signature's own key is no evidence.

use serde::{Serialize, de::DeserializeOwned};
use ssh_key::{HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};
use std::str::FromStr;

const ARMOR: &str = "-----BEGIN SSH SIGNATURE-----";
/// Longest armored signature: one by Ed25519 has 300 bytes.
const MAX_ARMOR: usize = 2048;

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

/// The document could not be signed: the key cannot sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing key cannot sign")]
pub struct CannotSign;

/// The edge's public signing keys that a verifier pins: at least one, all Ed25519.
#[derive(Clone, Debug)]
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

fn root(line: &str) -> Option<PublicKey> {
    PublicKey::from_openssh(line).ok().filter(|key| key.key_data().is_ed25519())
}

/// Writes `payload` as JSON and signs it for `namespace`.
pub fn sign<T: Serialize>(key: &PrivateKey, namespace: &str, payload: &T) -> Result<String, CannotSign> {
    let mut text = serde_json::to_string(payload).map_err(|_| CannotSign)?;
    text.push('\n');
    let armor = detached(key, namespace, text.as_bytes())?;
    Ok(text + &armor)
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

/// Reads a document signed by one of `trust` for `namespace`. Nothing of the payload is parsed before the signature holds.
pub fn verify<T: DeserializeOwned>(text: &str, trust: &TrustRoots, namespace: &str) -> Result<T, SignedFault> {
    let at = text.rfind(ARMOR).ok_or(SignedFault::Unsigned)?;
    let (payload, armor) = text.split_at(at);
    let signature = parse_armor(armor)?;
    let signer = trust.0.iter().find(|key| key.key_data() == signature.public_key()).ok_or(SignedFault::Untrusted)?;
    signer.verify(namespace, payload.as_bytes(), &signature).map_err(|_| SignedFault::Forged)?;
    serde_json::from_str(payload).map_err(|fault| SignedFault::Malformed(fault.to_string()))
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
        let text = sign(&key(1), "demo@drawbridge", &vec![1, 2, 3]).unwrap();
        assert!(text.starts_with("[1,2,3]\n-----BEGIN SSH SIGNATURE-----\n"));
        assert_eq!(verify(&text, &trust(&key(1)), "demo@drawbridge"), Ok(vec![1, 2, 3]));
    }

    #[test]
    fn anything_else_is_refused() {
        let text = sign(&key(1), "demo@drawbridge", &vec![1, 2, 3]).unwrap();
        let check = |text: &str, by: &PrivateKey, namespace: &str| verify::<Vec<u8>>(text, &trust(by), namespace).unwrap_err();
        assert_eq!(check(&text, &key(2), "demo@drawbridge"), SignedFault::Untrusted);
        assert_eq!(check(&text, &key(1), "other@drawbridge"), SignedFault::Forged);
        assert_eq!(check(&text.replace("[1,", "[9,"), &key(1), "demo@drawbridge"), SignedFault::Forged);
        assert_eq!(check("[1,2,3]\n", &key(1), "demo@drawbridge"), SignedFault::Unsigned);
        assert_eq!(check(&text[..text.len() - 60], &key(1), "demo@drawbridge"), SignedFault::Unsigned);
        assert_eq!(check(&format!("{text}{}", "x".repeat(4096)), &key(1), "demo@drawbridge"), SignedFault::Unsigned);
        let wrong_shape = sign(&key(1), "demo@drawbridge", &"text").unwrap();
        assert!(matches!(check(&wrong_shape, &key(1), "demo@drawbridge"), SignedFault::Malformed(_)));
    }

    #[test]
    fn trust_roots_are_ed25519_lines() {
        assert_eq!("".parse::<TrustRoots>().unwrap_err(), TrustFault::None);
        assert_eq!("# none\nssh-rsa AAAA".parse::<TrustRoots>().unwrap_err(), TrustFault::Line(2));
    }
}

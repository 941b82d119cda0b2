//! How an agent proves that a tunnel is its workspace's: a signature that fits no other tunnel, daemon or workspace.

use super::{EXPORTER, NONCE};
use crate::{
    id::WorkspaceId,
    signed::{self, CannotSign, SignedFault},
};
use ssh_key::{PrivateKey, PublicKey, encoding::Encode};

/// SSHSIG namespace of the proof.
pub const NAMESPACE: &str = "tunnel@drawbridge";

/// Everything that the proof binds together.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// The daemon's challenge.
    pub nonce: &'a [u8; NONCE],
    /// The daemon's Ed25519 identity.
    pub daemon: &'a [u8; 32],
    /// The workspace that is claimed.
    pub workspace: &'a WorkspaceId,
    /// Keying material of this very TLS connection.
    pub exporter: &'a [u8; EXPORTER],
}

impl Binding<'_> {
    /// The agent's armored signature.
    pub fn sign(&self, key: &PrivateKey) -> Result<String, CannotSign> {
        signed::detached(key, NAMESPACE, &self.message())
    }

    /// Whether `signature` is `key`'s over exactly this.
    pub fn verify(&self, key: &PublicKey, signature: &str) -> Result<(), SignedFault> {
        signed::verify_detached(key, NAMESPACE, &self.message(), signature)
    }

    /// `byte[32] nonce, byte[32] daemon, string workspace, byte[32] exporter`.
    fn message(&self) -> Vec<u8> {
        let mut message = [&self.nonce[..], &self.daemon[..]].concat();
        // Writing to a vector fails only on lengths beyond u32.
        let _ = self.workspace.as_str().encode(&mut message);
        message.extend_from_slice(self.exporter);
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssh_key::private::Ed25519Keypair;

    #[test]
    fn a_proof_fits_one_tunnel_only() {
        let key: PrivateKey = Ed25519Keypair::from_seed(&[1; 32]).into();
        let other: PrivateKey = Ed25519Keypair::from_seed(&[2; 32]).into();
        let (one, two) = ("796636".parse().unwrap(), "lighthouse".parse().unwrap());
        let here = Binding { nonce: &[1; NONCE], daemon: &[2; 32], workspace: &one, exporter: &[3; EXPORTER] };
        let signature = here.sign(&key).unwrap();
        assert_eq!(here.verify(key.public_key(), &signature), Ok(()));
        let elsewhere = [
            Binding { nonce: &[9; NONCE], ..here },
            Binding { daemon: &[9; 32], ..here },
            Binding { workspace: &two, ..here },
            Binding { exporter: &[9; EXPORTER], ..here },
        ];
        for binding in elsewhere {
            assert_eq!(binding.verify(key.public_key(), &signature), Err(SignedFault::Forged));
        }
        assert_eq!(here.verify(other.public_key(), &signature), Err(SignedFault::Forged));
        assert_eq!(here.verify(key.public_key(), "no signature"), Err(SignedFault::Unsigned));
    }
}

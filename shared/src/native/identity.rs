//! An Ed25519 key as SSH and as TLS know it: one key, one identity.

use ssh_key::{PrivateKey, PublicKey, private::Ed25519Keypair, public::Ed25519PublicKey};

/// The key is not Ed25519.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an ssh-ed25519 key")]
pub struct NotEd25519;

/// A private identity: a daemon's, or a workspace's. Prints as its public half.
#[derive(Clone)]
pub struct Identity(Ed25519Keypair);

/// The 32 bytes of a public identity.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicIdentity(pub [u8; 32]);

impl Identity {
    /// From an Ed25519 seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(Ed25519Keypair::from_seed(seed))
    }

    /// The public half.
    pub const fn public(&self) -> PublicIdentity {
        PublicIdentity(self.0.public.0)
    }

    /// As an SSH key, for signing and as a host key.
    pub fn ssh(&self) -> PrivateKey {
        self.0.clone().into()
    }

    /// The seed, for TLS.
    pub(super) fn seed(&self) -> [u8; 32] {
        self.0.private.to_bytes()
    }
}

impl TryFrom<&PrivateKey> for Identity {
    type Error = NotEd25519;

    fn try_from(key: &PrivateKey) -> Result<Self, NotEd25519> {
        key.key_data().ed25519().cloned().map(Self).ok_or(NotEd25519)
    }
}

impl PublicIdentity {
    /// From an `ssh-ed25519 AAAA...` line.
    pub fn from_line(line: &str) -> Result<Self, NotEd25519> {
        let key = PublicKey::from_openssh(line.trim()).map_err(|_| NotEd25519)?;
        key.key_data().ed25519().map(|key| Self(key.0)).ok_or(NotEd25519)
    }

    /// As an SSH key.
    pub fn ssh(&self) -> PublicKey {
        Ed25519PublicKey(self.0).into()
    }

    /// `ssh-ed25519 AAAA...`.
    pub fn to_line(&self) -> String {
        self.ssh().to_openssh().unwrap_or_default()
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({}, ..)", self.public().to_line())
    }
}

impl std::fmt::Debug for PublicIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_line())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_identity_and_back() {
        let identity = Identity::from_seed(&[3; 32]);
        let line = identity.public().to_line();
        assert_eq!(PublicIdentity::from_line(&line), Ok(identity.public()));
        assert_eq!(Identity::try_from(&identity.ssh()).unwrap().public(), identity.public());
        assert_eq!(PublicIdentity::from_line("ssh-rsa AAAA"), Err(NotEd25519));
        assert!(!format!("{identity:?}").contains("PRIVATE"));
    }
}

//! The Worker's secrets, checked once; prints as `..`.

use drawbridge_shared::token::{Scope, Token, TokenHash};
use ssh_key::PrivateKey;
use std::fmt;

/// Name of the secret that holds the first operator token.
pub const OPERATOR_TOKEN: &str = "OPERATOR_TOKEN";
/// Name of the secret that holds the signing key.
pub const SIGNING_KEY: &str = "SIGNING_KEY";

/// What the Ledger authenticates its first operator with, and what it signs with.
pub struct Secrets {
    operator: TokenHash,
    signing: PrivateKey,
}

impl Secrets {
    /// Checks what the environment gave; a fault names the secrets, never what is in them.
    pub fn parse(operator: Option<&str>, signing: Option<&str>) -> Result<Self, Vec<String>> {
        match (operator.and_then(operator_hash), signing.and_then(signing_key)) {
            (Some(operator), Some(signing)) => Ok(Self { operator, signing }),
            (operator, signing) => {
                let faults = [(OPERATOR_TOKEN, operator.is_none()), (SIGNING_KEY, signing.is_none())];
                Err(faults.iter().filter(|(_, faulty)| *faulty).map(|(name, _)| name.to_string()).collect())
            }
        }
    }

    /// Whether `hash` is the first operator token's; takes as long for a near miss as for any other.
    pub fn is_operator(&self, hash: &TokenHash) -> bool {
        let differ = self.operator.0.iter().zip(&hash.0).fold(0, |differ, (a, b)| differ | (a ^ b));
        std::hint::black_box(differ) == 0
    }

    /// The edge's signing key.
    pub const fn signing(&self) -> &PrivateKey {
        &self.signing
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(..)")
    }
}

fn operator_hash(text: &str) -> Option<TokenHash> {
    let token: Token = text.trim().parse().ok()?;
    (token.scope() == Scope::Operator).then(|| token.hash())
}

/// Dashboards and env files turn line ends into the two characters `\n`.
fn signing_key(text: &str) -> Option<PrivateKey> {
    let pem = text.replace("\\n", "\n");
    let key = PrivateKey::from_openssh(pem.trim()).ok()?;
    (key.key_data().ed25519().is_some()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssh_key::{LineEnding, private::Ed25519Keypair};

    #[test]
    fn secrets_are_checked_and_hidden() {
        let token = Token::mint(Scope::Operator, &[1; 32]);
        let key: PrivateKey = Ed25519Keypair::from_seed(&[1; 32]).into();
        let pem = key.to_openssh(LineEnding::LF).unwrap().replace('\n', "\\n");
        let secrets = Secrets::parse(Some(token.expose()), Some(&pem)).unwrap();
        assert_eq!(format!("{secrets:?}"), "Secrets(..)");
        assert!(secrets.is_operator(&token.hash()));
        assert!(!secrets.is_operator(&TokenHash([0; 32])));
        let user = Token::mint(Scope::User, &[1; 32]);
        assert_eq!(Secrets::parse(Some(user.expose()), Some(&pem)).unwrap_err(), ["OPERATOR_TOKEN"]);
        assert_eq!(Secrets::parse(None, Some("no key")).unwrap_err(), ["OPERATOR_TOKEN", "SIGNING_KEY"]);
    }
}

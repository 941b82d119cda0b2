//! The Worker's secrets, checked once; prints as `..`.

use drawbridge_shared::token::{Scope, Token, TokenHash};
use ssh_key::PrivateKey;
use std::fmt;

/// Name of the secret that holds the first operator token.
pub const OPERATOR_TOKEN: &str = "OPERATOR_TOKEN";
/// Name of the secret that holds the signing key.
pub const SIGNING_KEY: &str = "SIGNING_KEY";
/// Name of the secret that holds a second signing key, while keys are rolled.
pub const NEXT_SIGNING_KEY: &str = "NEXT_SIGNING_KEY";
/// Name of the secret that holds the key of the host CA; without it host keys are not certified.
pub const HOST_CA_KEY: &str = "HOST_CA_KEY";
/// Name of the secret that holds a second CA key: listed in known_hosts, not signed with yet.
pub const NEXT_HOST_CA_KEY: &str = "NEXT_HOST_CA_KEY";

/// What the Ledger authenticates its first operator with, and what it signs with.
pub struct Secrets {
    operator: TokenHash,
    /// The one that signs, and beside it the one that comes or goes.
    signing: Vec<PrivateKey>,
    /// The one that certifies, and the one that will.
    host_ca: Vec<PrivateKey>,
}

impl Secrets {
    /// Checks what the environment gives; a fault names the secrets, never what is in them.
    pub fn read(environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        let operator = environment(OPERATOR_TOKEN).as_deref().and_then(operator_hash);
        if operator.is_none() {
            faults.push(OPERATOR_TOKEN.into());
        }
        let signing = keys(environment, [SIGNING_KEY, NEXT_SIGNING_KEY], &mut faults);
        let host_ca = keys(environment, [HOST_CA_KEY, NEXT_HOST_CA_KEY], &mut faults);
        if signing.is_empty() && faults.iter().all(|name| name != SIGNING_KEY) {
            faults.push(SIGNING_KEY.into());
        }
        match operator {
            Some(operator) if faults.is_empty() => Ok(Self { operator, signing, host_ca }),
            _ => Err(faults),
        }
    }

    /// Whether `hash` is the first operator token's; takes as long for a near miss as for any other.
    pub fn is_operator(&self, hash: &TokenHash) -> bool {
        let differ = self.operator.0.iter().zip(&hash.0).fold(0, |differ, (a, b)| differ | (a ^ b));
        std::hint::black_box(differ) == 0
    }

    /// The edge's signing keys.
    pub fn signing(&self) -> &[PrivateKey] {
        &self.signing
    }

    /// What documents announce.
    pub fn signers(&self) -> Vec<String> {
        lines(&self.signing)
    }

    /// The key that certifies host keys, if there is one.
    pub fn host_ca(&self) -> Option<&PrivateKey> {
        self.host_ca.first()
    }

    /// The public lines of all CA keys, for known_hosts.
    pub fn host_ca_lines(&self) -> Vec<String> {
        lines(&self.host_ca)
    }
}

fn lines(keys: &[PrivateKey]) -> Vec<String> {
    keys.iter().filter_map(|key| key.public_key().to_openssh().ok()).collect()
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

/// The keys that are set, in this order; one that is set and unusable is a fault. So is a second without a first.
fn keys(environment: &dyn Fn(&str) -> Option<String>, names: [&str; 2], faults: &mut Vec<String>) -> Vec<PrivateKey> {
    let mut keys = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let Some(text) = environment(name).filter(|text| !text.trim().is_empty()) else { continue };
        match ed25519(&text).filter(|_| keys.len() == at) {
            Some(key) => keys.push(key),
            None => faults.push((*name).into()),
        }
    }
    keys
}

/// Dashboards and env files turn line ends into the two characters `\n`.
fn ed25519(text: &str) -> Option<PrivateKey> {
    let pem = text.replace("\\n", "\n");
    let key = PrivateKey::from_openssh(pem.trim()).ok()?;
    (key.key_data().ed25519().is_some()).then(|| without_comment(key))
}

/// A comment would stand in every line that is shown.
fn without_comment(mut key: PrivateKey) -> PrivateKey {
    key.set_comment("");
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssh_key::{LineEnding, private::Ed25519Keypair};

    fn pem(seed: u8) -> String {
        let mut key: PrivateKey = Ed25519Keypair::from_seed(&[seed; 32]).into();
        key.set_comment("edge");
        key.to_openssh(LineEnding::LF).unwrap().replace('\n', "\\n")
    }

    fn read(set: &[(&str, &str)]) -> Result<Secrets, Vec<String>> {
        Secrets::read(&|name: &str| set.iter().find(|(set, _)| *set == name).map(|(_, value)| value.to_string()))
    }

    #[test]
    fn secrets_are_checked_and_hidden() {
        let token = Token::mint(Scope::Operator, &[1; 32]);
        let secrets = read(&[(OPERATOR_TOKEN, token.expose()), (SIGNING_KEY, &pem(1)), (HOST_CA_KEY, "")]).unwrap();
        assert_eq!(format!("{secrets:?}"), "Secrets(..)");
        assert!(secrets.is_operator(&token.hash()));
        assert!(!secrets.is_operator(&TokenHash([0; 32])));
        assert!(secrets.host_ca().is_none() && secrets.signers().len() == 1);
        let user = Token::mint(Scope::User, &[1; 32]);
        assert_eq!(read(&[(OPERATOR_TOKEN, user.expose()), (SIGNING_KEY, &pem(1))]).unwrap_err(), [OPERATOR_TOKEN]);
        assert_eq!(read(&[(SIGNING_KEY, "no key")]).unwrap_err(), [OPERATOR_TOKEN, SIGNING_KEY]);
        assert_eq!(read(&[]).unwrap_err(), [OPERATOR_TOKEN, SIGNING_KEY]);
    }

    #[test]
    fn a_second_key_is_announced_and_needs_a_first() {
        let token = Token::mint(Scope::Operator, &[1; 32]);
        let (one, two) = (pem(1), pem(2));
        let all = [(OPERATOR_TOKEN, token.expose()), (SIGNING_KEY, &one), (NEXT_SIGNING_KEY, &two), (HOST_CA_KEY, &two)];
        let secrets = read(&all).unwrap();
        assert_eq!((secrets.signing().len(), secrets.signers().len(), secrets.host_ca_lines().len()), (2, 2, 1));
        assert!(!secrets.signers()[0].ends_with("edge"), "comments are not shown");
        let alone = [(OPERATOR_TOKEN, token.expose()), (SIGNING_KEY, &*one), (NEXT_HOST_CA_KEY, &two)];
        assert_eq!(read(&alone).unwrap_err(), [NEXT_HOST_CA_KEY]);
        let broken = [(OPERATOR_TOKEN, token.expose()), (SIGNING_KEY, &*one), (NEXT_SIGNING_KEY, "x")];
        assert_eq!(read(&broken).unwrap_err(), [NEXT_SIGNING_KEY]);
    }
}

//! Bearer tokens: prefixed and check-summed, so that garbage is refused before anything is looked up; only their hash is ever stored.

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};
use zeroize::Zeroizing;

/// Bytes of randomness in a token.
pub const SECRET_BYTES: usize = 32;
const CHECK_BYTES: usize = 4;
/// Every token has this many characters: `dbX_` and 48 of base64url.
pub const TOKEN_CHARS: usize = 4 + (SECRET_BYTES + CHECK_BYTES) * 4 / 3;

/// What the bearer of a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Run the platform: mint tokens, create workspaces, register daemons.
    Operator,
    /// Keep one's own keys.
    User,
    /// Enrol one workspace and read its authorized keys.
    Agent,
    /// Read snapshots.
    Daemon,
}

impl Scope {
    const ALL: [Self; 4] = [Self::Operator, Self::User, Self::Agent, Self::Daemon];

    const fn prefix(self) -> &'static str {
        match self {
            Self::Operator => "dbo_",
            Self::User => "dbu_",
            Self::Agent => "dba_",
            Self::Daemon => "dbd_",
        }
    }

    /// Of what begins as a token does, whether it is one or not.
    pub fn claimed_by(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| text.starts_with(scope.prefix()))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operator => "operator",
            Self::User => "user",
            Self::Agent => "agent",
            Self::Daemon => "daemon",
        })
    }
}

/// A bearer token in the clear; prints as `dbX_..`.
#[derive(Clone)]
pub struct Token {
    scope: Scope,
    text: Zeroizing<String>,
}

/// SHA-256 of a token's text: what is stored, and what names the token in the operator API.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenHash(pub [u8; 32]);

/// The text is not one of our tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a Drawbridge token: one starts with dbo_, dbu_, dba_ or dbd_ and has 52 characters")]
pub struct NotAToken;

impl Token {
    /// A new token of `scope` from 32 random bytes.
    pub fn mint(scope: Scope, secret: &[u8; SECRET_BYTES]) -> Self {
        let mut body = Zeroizing::new([0; SECRET_BYTES + CHECK_BYTES]);
        let (head, tail) = body.split_at_mut(SECRET_BYTES);
        head.copy_from_slice(secret);
        tail.copy_from_slice(&check(scope, secret));
        let text = [scope.prefix(), &Base64UrlUnpadded::encode_string(&*body)].concat();
        Self { scope, text: Zeroizing::new(text) }
    }

    /// What the prefix says; the store has the last word.
    pub const fn scope(&self) -> Scope {
        self.scope
    }

    /// The token in the clear, for the one answer that shows it and for the `Authorization` header.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// What is stored of it.
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.text.as_bytes()).into())
    }
}

/// First bytes of SHA-256 over prefix and secret: tells a typing error from a token, guards nothing.
fn check(scope: Scope, secret: &[u8]) -> [u8; CHECK_BYTES] {
    let digest = Sha256::new().chain_update(scope.prefix()).chain_update(secret).finalize();
    std::array::from_fn(|i| digest.get(i).copied().unwrap_or_default())
}

impl FromStr for Token {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let scope = Scope::claimed_by(text).ok_or(NotAToken)?;
        let mut body = Zeroizing::new([0; SECRET_BYTES + CHECK_BYTES]);
        if text.len() != TOKEN_CHARS {
            return Err(NotAToken);
        }
        let encoded = text.get(scope.prefix().len()..).ok_or(NotAToken)?;
        Base64UrlUnpadded::decode(encoded, &mut *body).map_err(|_| NotAToken)?;
        let (secret, tail) = body.split_at(SECRET_BYTES);
        let genuine = tail == check(scope, secret);
        genuine.then(|| Self { scope, text: Zeroizing::new(text.into()) }).ok_or(NotAToken)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..", self.scope.prefix())
    }
}

impl TokenHash {
    /// Lower-case hex: the token's public id.
    pub fn to_hex(self) -> String {
        crate::hex::encode(&self.0)
    }

    /// Back from [`Self::to_hex`].
    pub fn from_hex(text: &str) -> Option<Self> {
        crate::hex::decode32(text).map(Self)
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minted_token_parses_and_hides() {
        for scope in Scope::ALL {
            let token = Token::mint(scope, &[7; 32]);
            let again: Token = token.expose().parse().unwrap();
            assert_eq!(token.expose().len(), TOKEN_CHARS);
            assert_eq!(again.scope(), scope);
            assert_eq!(again.hash(), token.hash());
            assert_eq!(format!("{token:?}"), format!("{}..", scope.prefix()));
        }
    }

    #[test]
    fn garbage_and_typing_errors_are_refused() {
        let token = Token::mint(Scope::User, &[1; 32]).expose().to_string();
        let other_scope = token.replace("dbu_", "dbo_");
        let typo = token.replace("AQEB", "AQEC");
        for bad in
            ["", "Bearer", "dbu_", &token[..51], &format!("{token}A"), &other_scope, &typo, &format!("dbu_{}", "é".repeat(24))]
        {
            assert!(bad.parse::<Token>().is_err(), "{bad}");
        }
    }
}

//! Tokens: one text a token, a typing error is noticed, and no way of printing shows the secret.

use drawbridge_shared::token::{SECRET_BYTES, Scope, TOKEN_CHARS, Token, TokenHash};
use sha2::{Digest, Sha256};

const SCOPES: [(Scope, &str); 4] =
    [(Scope::Operator, "dbo_"), (Scope::User, "dbu_"), (Scope::Agent, "dba_"), (Scope::Daemon, "dbd_")];

/// `data` as a token's text, and as a secret to mint one of.
pub fn check(data: &[u8]) -> bool {
    mint(data);
    hash_names(data);
    let Ok(token) = std::str::from_utf8(data).unwrap_or_default().parse::<Token>() else { return false };
    one_text(data, &token);
    typing_errors(&token);
    true
}

fn one_text(data: &[u8], token: &Token) {
    let text = token.expose();
    assert_eq!((text.as_bytes(), text.len()), (data, TOKEN_CHARS));
    assert!(SCOPES.iter().any(|(scope, prefix)| *scope == token.scope() && text.starts_with(prefix)));
    assert_eq!(token.hash().0, <[u8; 32]>::from(Sha256::digest(data)));
    assert_eq!(format!("{token:?}").len(), "dbX_..".len(), "the secret is printed");
}

/// Any other letter in any one place is noticed, but for one in 2^32.
fn typing_errors(token: &Token) {
    for at in 0..TOKEN_CHARS {
        let wrong = |old: u8| if old == b'A' { b'B' } else { b'A' };
        let typed: String =
            token.expose().bytes().enumerate().map(|(i, b)| (if i == at { wrong(b) } else { b }) as char).collect();
        assert!(typed.parse::<Token>().is_err(), "a typing error at {at} is not noticed");
    }
}

fn mint(data: &[u8]) {
    let secret: [u8; SECRET_BYTES] = std::array::from_fn(|i| data.get(i).copied().unwrap_or_default());
    let hashes = SCOPES.map(|(scope, prefix)| {
        let token = Token::mint(scope, &secret);
        assert!(token.expose().starts_with(prefix));
        let again: Token = token.expose().parse().expect("a minted token is one");
        assert_eq!((again.scope(), again.hash()), (scope, token.hash()));
        assert_eq!(TokenHash::from_hex(&token.hash().to_hex()), Some(token.hash()));
        token.hash()
    });
    assert!((1..hashes.len()).all(|i| !hashes[..i].contains(&hashes[i])), "two scopes share a token");
}

/// A hash has one name.
fn hash_names(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(hash) = TokenHash::from_hex(&text) {
        assert_eq!(hash.to_hex(), text);
    }
}

//! `/api/ssh/keys`, by the contract that existing clients were written against.

use super::{
    asked::{Asked, Shape},
    wish::{Wish, ask},
};
use crate::{command::UserCommand, problem::Failure};
use drawbridge_shared::{
    api::{AddKey, RemoveKey},
    fingerprint::{Fingerprint, NotAFingerprint},
    key::UserKey,
};

impl Shape for AddKey {
    const EXAMPLE: &str = r#"{"publicKey": "ssh-ed25519 AAAAC3Nz... name", "title": "laptop" (optional), "expiresAt": "2030-01-01T00:00:00Z" (optional)}"#;
}

impl Shape for RemoveKey {
    const EXAMPLE: &str = r#"{"publicKeyFingerprint": "SHA256:..."}"#;
}

pub(super) fn add(asked: &Asked) -> Result<Wish, Failure> {
    let body: AddKey = asked.json()?;
    let key = UserKey::titled(&body.public_key, chosen(body.title.as_deref()))?;
    let (fingerprint, line, title) = (key.fingerprint(), key.line().into(), key.title().into());
    ask(UserCommand::AddKey { fingerprint, line, title, expires_at: body.expires_at })
}

/// The title that replaces a key's comment: an empty one is a field that nobody filled in.
pub(super) fn chosen(title: Option<&str>) -> Option<&str> {
    title.filter(|title| !title.trim().is_empty())
}

pub(super) fn list(_: &Asked) -> Result<Wish, Failure> {
    ask(UserCommand::ListKeys)
}

/// Some proxies drop a DELETE's body: the query may name the key instead, and then the body is not looked at.
pub(super) fn remove(asked: &Asked) -> Result<Wish, Failure> {
    let text = match asked.query("publicKeyFingerprint") {
        Some(text) => text,
        None => asked.json_if_any::<RemoveKey>()?.ok_or_else(unnamed)?.public_key_fingerprint,
    };
    ask(UserCommand::RemoveKey(fingerprint(&text)?))
}

pub(super) fn remove_named(asked: &Asked) -> Result<Wish, Failure> {
    ask(UserCommand::RemoveKey(fingerprint(asked.param(0))?))
}

/// Neither body nor query has it.
fn unnamed() -> Failure {
    let advice = "Name it in the body as {\"publicKeyFingerprint\": \"SHA256:...\"}, or behind the address as \
                  ?publicKeyFingerprint=SHA256:...";
    Failure::bad("The key to remove is not named").advice(advice)
}

/// A plus sign that nobody escaped arrives as a blank, the first one of a bare fingerprint too.
fn fingerprint(text: &str) -> Result<Fingerprint, Failure> {
    let read = |text: &str| text.replace(' ', "+").parse();
    let parsed = read(text.trim()).or_else(|fault| read(text).map_err(|_| fault));
    parsed.map_err(|fault: NotAFingerprint| Failure::bad("This is not a fingerprint").advice(fault.to_string()))
}

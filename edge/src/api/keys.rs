//! `/api/ssh/keys`, by the contract that existing clients were written against.

use super::{
    Platform,
    extract::{Caller, InPath, InQuery, Json, Shape},
    json, stale, unexpected,
};
use crate::{
    command::{Outcome, UserCommand},
    problem::Failure,
};
use axum::{
    extract::{FromRequest, Request},
    http::StatusCode,
    response::Response,
};
use drawbridge_shared::{
    api::{AddKey, RemoveKey},
    fingerprint::Fingerprint,
    key::UserKey,
};
use serde::Deserialize;

impl Shape for AddKey {
    const EXAMPLE: &str = r#"{"publicKey": "ssh-ed25519 AAAAC3Nz... name", "title": "laptop" (optional), "expiresAt": "2030-01-01T00:00:00Z" (optional)}"#;
}

impl Shape for RemoveKey {
    const EXAMPLE: &str = r#"{"publicKeyFingerprint": "SHA256:..."}"#;
}

/// `?publicKeyFingerprint=`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Named {
    public_key_fingerprint: Option<String>,
}

pub(super) async fn add<P: Platform>(caller: Caller<P>, Json(body): Json<AddKey>) -> Result<Response, Failure> {
    let mut key = UserKey::parse(&body.public_key)?;
    if let Some(title) = &body.title {
        key = key.with_title(title)?;
    }
    let (fingerprint, line, title) = (key.fingerprint(), key.line().into(), key.title().into());
    let command = UserCommand::AddKey { fingerprint, line, title, expires_at: body.expires_at };
    match caller.ask(command).await? {
        Outcome::Key(item) => Ok(json(StatusCode::CREATED, &item)),
        _ => Err(unexpected()),
    }
}

pub(super) async fn list<P: Platform>(caller: Caller<P>) -> Result<Response, Failure> {
    match caller.platform.ledger(caller.call(UserCommand::ListKeys)).await {
        Ok(Ok(Outcome::Keys(items))) => Ok(json(StatusCode::OK, &items)),
        Ok(Ok(_)) => Err(unexpected()),
        Ok(Err(refusal)) => Err(refusal.into()),
        Err(fault) => stale::keys(&caller, fault).await,
    }
}

/// Some proxies drop a DELETE's body: the query may name the key instead, and then the body is not looked at.
pub(super) async fn remove<P: Platform>(
    caller: Caller<P>,
    InQuery(named): InQuery<Named>,
    request: Request,
) -> Result<StatusCode, Failure> {
    let text = match named.public_key_fingerprint {
        Some(text) => text,
        None => Json::<RemoveKey>::from_request(request, &()).await?.0.public_key_fingerprint,
    };
    let command = UserCommand::RemoveKey(fingerprint(&text)?);
    caller.done(command).await
}

pub(super) async fn remove_named<P: Platform>(caller: Caller<P>, InPath(text): InPath<String>) -> Result<StatusCode, Failure> {
    let command = UserCommand::RemoveKey(fingerprint(&text)?);
    caller.done(command).await
}

/// A plus sign that nobody escaped arrives as a blank.
fn fingerprint(text: &str) -> Result<Fingerprint, Failure> {
    let parsed = text.trim().replace(' ', "+").parse();
    parsed.map_err(|fault: drawbridge_shared::fingerprint::NotAFingerprint| {
        Failure::bad("This is not a fingerprint").advice(fault.to_string())
    })
}

//! `/v1/daemon`: a daemon gets its host key certified, and reports which keys logged in.

use super::{
    Platform,
    extract::{Caller, Json, Shape},
    host_certificate,
};
use crate::{command::DaemonCommand, problem::Failure};
use axum::{http::StatusCode, response::Response};
use drawbridge_shared::api::{MAX_USED, UsedKeys};

impl Shape for UsedKeys {
    const EXAMPLE: &str =
        r#"{"used": [{"user": "alice", "publicKeyFingerprint": "SHA256:...", "usedAt": "2026-11-23T09:30:00Z"}]}"#;
}

pub(super) async fn certificate<P: Platform>(caller: Caller<P>) -> Result<Response, Failure> {
    let nonce = caller.platform.random()?;
    host_certificate(caller.ask(DaemonCommand::HostCertificate { nonce }).await?)
}

pub(super) async fn used<P: Platform>(caller: Caller<P>, Json(body): Json<UsedKeys>) -> Result<StatusCode, Failure> {
    if body.used.len() > MAX_USED {
        return Err(Failure::bad("Too many keys in one report").advice(format!("Send {MAX_USED} at a time.")));
    }
    caller.done(DaemonCommand::Used(body.used)).await
}

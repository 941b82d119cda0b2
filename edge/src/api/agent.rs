//! `/v1/agent`: a workspace's agent enrols, and learns who may enter.

use super::{
    Platform, document as signed,
    extract::{Caller, Json, Shape, if_none_match},
    host_certificate, json, operator, unchanged, unexpected,
};
use crate::{
    command::{AgentCommand, Outcome},
    problem::Failure,
};
use axum::{
    http::{HeaderMap, StatusCode},
    response::Response,
};
use drawbridge_shared::api::Enrol;

impl Shape for Enrol {
    const EXAMPLE: &str = r#"{"publicKey": "ssh-ed25519 AAAA...", "proof": "-----BEGIN SSH SIGNATURE-----\n..."}"#;
}

pub(super) async fn enrol<P: Platform>(caller: Caller<P>, Json(body): Json<Enrol>) -> Result<Response, Failure> {
    let (key, nonce) = (operator::ed25519(&body.public_key)?, caller.platform.random()?);
    let command = AgentCommand::Enrol { key, proof: body.proof, nonce };
    match caller.ask(command).await? {
        Outcome::Enrolled(enrolled) => Ok(json(StatusCode::OK, &enrolled)),
        _ => Err(unexpected()),
    }
}

pub(super) async fn certificate<P: Platform>(caller: Caller<P>) -> Result<Response, Failure> {
    let nonce = caller.platform.random()?;
    host_certificate(caller.ask(AgentCommand::HostCertificate { nonce }).await?)
}

pub(super) async fn document<P: Platform>(caller: Caller<P>, headers: HeaderMap) -> Result<Response, Failure> {
    let command = AgentCommand::Document { held: if_none_match(&headers) };
    match caller.ask(command).await? {
        Outcome::Document { text, etag } => Ok(signed(text, &etag)),
        Outcome::Unchanged { etag } => Ok(unchanged(&etag)),
        _ => Err(unexpected()),
    }
}

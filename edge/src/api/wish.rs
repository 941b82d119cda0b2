//! What a request comes to once it is understood, and how every wish is granted: one handler for all of them.

use super::{
    Platform,
    answer::answer,
    asked::Asked,
    operator::import::{self, Batch},
    stale,
};
use crate::{
    command::{Call, Command, Outcome, SnapshotCommand},
    problem::Failure,
};
use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use drawbridge_shared::{
    snapshot::BlobHash,
    token::{Token, TokenHash},
};
use std::pin::Pin;

/// A request that is understood.
pub(super) enum Wish {
    /// One question to the Ledger.
    Ask(Command),
    /// The same, about a token that is shown this once. The Ledger only ever sees its hash.
    Mint(Command, Token),
    /// A shard, from KV where that has it.
    Shard(BlobHash),
    /// To be told of every manifest.
    Follow,
    /// Many facts, in pieces.
    Import(Batch),
}

/// Makes a wish of a request, or says what is wrong with it.
pub(super) type Understand = fn(&Asked) -> Result<Wish, Failure>;

/// A question to the Ledger.
pub(super) fn ask(command: impl Into<Command>) -> Result<Wish, Failure> {
    Ok(Wish::Ask(command.into()))
}

/// The handler of a route whose requests `understand` reads; one type for all routes.
pub(super) fn grant<P: Platform>(
    understand: Understand,
) -> impl Fn(State<P>, Request) -> Pin<Box<dyn Future<Output = Response> + Send>> + Clone + Send + Sync + 'static {
    move |State(platform): State<P>, request: Request| {
        Box::pin(async move { granted(&platform, understand, request).await.unwrap_or_else(Failure::into_response) })
    }
}

async fn granted<P: Platform>(platform: &P, understand: Understand, request: Request) -> Result<Response, Failure> {
    let asked = Asked::read(platform, request).await?;
    let token = asked.token;
    match understand(&asked)? {
        Wish::Ask(command) => question(platform, token, command).await,
        Wish::Mint(command, secret) => answer(outcome(platform, token, command).await?, Some(&secret)),
        Wish::Shard(hash) => shard(platform, token, hash).await,
        Wish::Follow => platform.feed(Call { token, command: SnapshotCommand::Manifest { held: None }.into() }).await,
        Wish::Import(batch) => import::run(platform, token, batch).await,
    }
}

/// Some questions are answered from KV where the Ledger does not answer.
async fn question<P: Platform>(platform: &P, token: TokenHash, command: Command) -> Result<Response, Failure> {
    match platform.ledger(Call { token, command: command.clone() }).await {
        Ok(reply) => answer(reply?, None),
        Err(fault) => stale::answer(platform, token, &command, fault).await,
    }
}

/// A shard's name is its content's: KV cannot have an old one. It may not have it yet.
async fn shard<P: Platform>(platform: &P, token: TokenHash, hash: BlobHash) -> Result<Response, Failure> {
    match stale::shard(platform, token, hash).await {
        Some(bytes) => answer(Outcome::Blob(bytes), None),
        None => answer(outcome(platform, token, SnapshotCommand::Blob(hash).into()).await?, None),
    }
}

/// What the Ledger grants.
pub(super) async fn outcome<P: Platform>(platform: &P, token: TokenHash, command: Command) -> Result<Outcome, Failure> {
    Ok(platform.ledger(Call { token, command }).await??)
}

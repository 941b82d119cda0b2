//! `/api/ssh` beside the keys: where a user may go, and the files that let a stock `ssh` go there.

mod files;

use super::{
    Platform,
    extract::{Caller, InQuery, PageQuery},
    json, unexpected,
};
use crate::{
    command::{Access, Outcome, UserCommand},
    problem::Failure,
};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

pub(super) async fn workspaces<P: Platform>(caller: Caller<P>, InQuery(page): InQuery<PageQuery>) -> Result<Response, Failure> {
    match caller.ask(UserCommand::ListWorkspaces(page.try_into()?)).await? {
        Outcome::UserWorkspaces(page) => Ok(json(StatusCode::OK, &page)),
        _ => Err(unexpected()),
    }
}

pub(super) async fn config<P: Platform>(caller: Caller<P>) -> Result<Response, Failure> {
    Ok(text(files::config(&access(&caller).await?)))
}

pub(super) async fn known_hosts<P: Platform>(caller: Caller<P>) -> Result<Response, Failure> {
    let access = access(&caller).await?;
    if access.host_ca.is_empty() {
        let failure = Failure::new(StatusCode::NOT_FOUND, "This edge certifies no host keys");
        return Err(failure.advice("Its operator can change that: the secret HOST_CA_KEY holds the key of a host CA."));
    }
    Ok(text(files::known_hosts(&access)))
}

async fn access<P: Platform>(caller: &Caller<P>) -> Result<Access, Failure> {
    match caller.ask(UserCommand::Access).await? {
        Outcome::Access(access) => Ok(access),
        _ => Err(unexpected()),
    }
}

fn text(text: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, text).into_response()
}

//! `/api/operator/regions`: how each region's jump host is called.

use super::{answer, checks};
use crate::{
    api::{
        Platform,
        extract::{Caller, InPath, InQuery, Json, PageQuery, Shape},
        json, unexpected,
    },
    command::{OperatorCommand, Outcome},
    problem::Failure,
};
use axum::{http::StatusCode, response::Response};
use drawbridge_shared::api::PutRegion;

impl Shape for PutRegion {
    const EXAMPLE: &str = r#"{"hosts": ["eu.example.com"], "port": 22 (optional)}"#;
}

pub(in crate::api) async fn put<P: Platform>(
    caller: Caller<P>,
    InPath(region): InPath<String>,
    Json(body): Json<PutRegion>,
) -> Result<Response, Failure> {
    let (region, hosts, port) = (checks::region(region)?, checks::hosts(body.hosts)?, checks::port(body.port)?);
    match caller.ask(OperatorCommand::PutRegion { region, hosts, port }).await? {
        Outcome::Region(put) => Ok(answer(&put)),
        _ => Err(unexpected()),
    }
}

pub(in crate::api) async fn list<P: Platform>(caller: Caller<P>, InQuery(page): InQuery<PageQuery>) -> Result<Response, Failure> {
    match caller.ask(OperatorCommand::ListRegions(page.try_into()?)).await? {
        Outcome::Regions(page) => Ok(json(StatusCode::OK, &page)),
        _ => Err(unexpected()),
    }
}

pub(in crate::api) async fn delete<P: Platform>(
    caller: Caller<P>,
    InPath(region): InPath<String>,
) -> Result<StatusCode, Failure> {
    caller.done(OperatorCommand::DeleteRegion(checks::region(region)?)).await
}

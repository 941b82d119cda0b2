//! What the router needs of where it runs.

use crate::{
    command::{Call, Reply},
    names::Listed,
    problem::Failure,
};
use axum::response::Response;
use drawbridge_shared::time::Timestamp;

/// The Ledger or KV does not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(pub String);

impl From<Unreachable> for Failure {
    fn from(fault: Unreachable) -> Self {
        Self::unavailable(fault.0)
    }
}

/// A Ledger, a KV that follows it, a clock, randomness and a log.
pub trait Platform: Clone + Send + Sync + 'static {
    /// Asks the Ledger.
    fn ledger(&self, call: Call) -> impl Future<Output = Result<Reply, Unreachable>> + Send;

    /// Opens a feed: `call` asks for the manifest, and if it is granted the answer switches protocols.
    fn feed(&self, call: Call) -> impl Future<Output = Result<Response, Failure>> + Send;

    /// A value in KV.
    fn kv_get(&self, name: &str) -> impl Future<Output = Result<Option<Vec<u8>>, Unreachable>> + Send;

    /// Some names in KV that start with `prefix`, from the first one or from `cursor` on.
    fn kv_list(&self, prefix: &str, cursor: Option<String>) -> impl Future<Output = Result<Listed, Unreachable>> + Send;

    /// The OpenAPI document.
    fn openapi(&self) -> impl Future<Output = Result<Vec<u8>, Unreachable>> + Send;

    /// The time.
    fn now(&self) -> Timestamp;

    /// Randomness fit for secrets.
    fn random(&self) -> Result<[u8; 32], Unreachable>;

    /// Writes a line to the operator's log.
    fn log(&self, line: &str);
}

//! The whole API, natively: the router over a Ledger in memory and a KV that follows it when told to.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop"
)]

mod agent;
mod errors;
mod feed;
mod keys;
mod openapi;
mod operator;
mod outage;
mod snapshot;
mod staleness;
mod world;

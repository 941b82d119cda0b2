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
mod host_ca;
mod keys;
mod moving_in;
mod openapi;
mod operator;
mod outage;
mod rolling;
mod room;
mod snapshot;
mod staleness;
mod user;
mod world;

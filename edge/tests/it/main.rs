//! The whole API, natively: the router over a Ledger in memory and a KV that follows it when told to.

mod agent;
mod errors;
mod feed;
mod keys;
mod operator;
mod outage;
mod snapshot;
mod world;

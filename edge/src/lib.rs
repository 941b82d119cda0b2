//! The key API as a Worker: one router, and behind it one Ledger that decides, publishes and keeps Workers KV up to date.
//!
//! Nothing here panics outside tests: a panic leaves the wasm instance unusable and fails every request in flight,
//! so what may panic is a lint.

#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::string_slice, clippy::unreachable, clippy::get_unwrap))]

pub mod api;
pub mod caller;
pub mod command;
pub mod etag;
pub mod facts;
pub mod forwarded;
pub mod ledger;
pub mod limits;
pub mod names;
#[cfg(not(target_arch = "wasm32"))]
#[expect(clippy::indexing_slicing, reason = "setting a field of an object of serde_json makes it; this is never in the Worker")]
pub mod openapi;
pub mod problem;
pub mod refusal;
pub mod rows;
pub mod secrets;

#[cfg(target_arch = "wasm32")]
mod worker;

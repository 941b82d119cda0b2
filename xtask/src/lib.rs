//! Builds, runs and checks Drawbridge: what `cargo xtask` does, as a library for the end-to-end tests too.

pub mod api;
pub mod bench;
pub mod build;
pub mod cargo;
pub mod conformance;
pub mod dev;
pub mod fuzz;
pub mod fuzz_api;
pub mod interrupt;
pub mod lint;
pub mod manuals;
pub mod openapi;
pub mod process;
pub mod readme;
pub mod release;
pub mod setup;
pub mod soak;
pub mod stack;
pub mod test;
pub mod tools;
pub mod wasm;
pub mod whole;

use std::path::Path;

/// The checkout.
pub fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

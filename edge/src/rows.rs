//! Ordered rows: the little that the Ledger needs of a database.

use std::collections::BTreeMap;

mod draft;
mod memory;

pub use draft::Draft;
pub use memory::Memory;

/// What becomes of rows, by name; `None` deletes.
pub type Changes = BTreeMap<String, Option<Vec<u8>>>;

/// The rows cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rows cannot be read or written: {0}")]
pub struct RowsFault(pub String);

/// Rows in the order of their names, which are visible ASCII.
pub trait Rows {
    /// The value of `name`.
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, RowsFault>;

    /// Up to `limit` rows whose names start with `prefix` and come behind `after`, in order.
    fn scan(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<(String, Vec<u8>)>, RowsFault>;

    /// Makes all of `changes`, or none.
    fn commit(&self, changes: Changes) -> Result<(), RowsFault>;
}

//! Rows in memory, for native use and tests.

use super::{Changes, Rows, RowsFault};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
};

/// Rows that are gone when the process ends.
#[derive(Debug, Default)]
pub struct Memory(RefCell<BTreeMap<String, Vec<u8>>>);

impl Rows for Memory {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, RowsFault> {
        Ok(self.0.borrow().get(name).cloned())
    }

    fn scan(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<(String, Vec<u8>)>, RowsFault> {
        let rows = self.0.borrow();
        let from = after.max(prefix);
        let found = rows.range::<str, _>((Excluded(from), Unbounded)).take_while(|(name, _)| name.starts_with(prefix));
        Ok(found.take(limit).map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    fn commit(&self, changes: Changes) -> Result<(), RowsFault> {
        let mut rows = self.0.borrow_mut();
        for (name, value) in changes {
            match value {
                Some(value) => rows.insert(name, value),
                None => rows.remove(&name),
            };
        }
        Ok(())
    }
}

//! Changes on top of rows: read back at once, committed together or not at all.

use super::{Changes, Rows, RowsFault};
use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
};

/// Rows as they will be.
#[derive(Debug)]
pub struct Draft<'a, R> {
    rows: &'a R,
    changes: Changes,
}

impl<'a, R: Rows> Draft<'a, R> {
    /// Nothing changed yet.
    pub fn new(rows: &'a R) -> Self {
        Self { rows, changes: Changes::new() }
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>, RowsFault> {
        self.changes.get(name).map_or_else(|| self.rows.get(name), |value| Ok(value.clone()))
    }

    /// As [`Rows::scan`].
    pub fn scan(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<(String, Vec<u8>)>, RowsFault> {
        let from = after.max(prefix);
        let changed = self.changes.range::<str, _>((Excluded(from), Unbounded));
        let changed: Vec<_> = changed.take_while(|(name, _)| name.starts_with(prefix)).collect();
        // Each change hides at most one row, so this many are enough.
        let rows = self.rows.scan(prefix, after, limit.saturating_add(changed.len()))?;
        let mut merged = BTreeMap::new();
        merged.extend(rows.into_iter().map(|(name, value)| (name, Some(value))));
        merged.extend(changed.into_iter().map(|(name, value)| (name.clone(), value.clone())));
        Ok(merged.into_iter().filter_map(|(name, value)| Some((name, value?))).take(limit).collect())
    }

    /// Sets the value of `name`.
    pub fn put(&mut self, name: String, value: Vec<u8>) {
        self.changes.insert(name, Some(value));
    }

    /// Removes `name`.
    pub fn delete(&mut self, name: String) {
        self.changes.insert(name, None);
    }

    /// Makes the changes, and says whether there are any.
    pub fn commit(self) -> Result<bool, RowsFault> {
        let changed = !self.changes.is_empty();
        if changed {
            self.rows.commit(self.changes)?;
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Memory;

    fn names(rows: &[(String, Vec<u8>)]) -> Vec<&str> {
        rows.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn memory(held: &[&str]) -> Memory {
        let memory = Memory::default();
        memory.commit(held.iter().map(|name| (name.to_string(), Some(vec![1]))).collect()).unwrap();
        memory
    }

    #[test]
    fn a_draft_reads_as_it_will_be() {
        let memory = memory(&["a/1", "a/2", "a/3", "a/4", "b/1"]);
        let mut draft = Draft::new(&memory);
        draft.delete("a/1".into());
        draft.delete("a/3".into());
        draft.put("a/22".into(), vec![2]);
        draft.put("a/9".into(), vec![2]);
        assert_eq!(names(&draft.scan("a/", "", 9).unwrap()), ["a/2", "a/22", "a/4", "a/9"]);
        assert_eq!(names(&draft.scan("a/", "", 2).unwrap()), ["a/2", "a/22"]);
        assert_eq!(names(&draft.scan("a/", "a/22", 1).unwrap()), ["a/4"]);
        assert_eq!(draft.get("a/1").unwrap(), None);
        assert_eq!(draft.get("a/2").unwrap(), Some(vec![1]));
        assert_eq!(names(&memory.scan("a/", "", 9).unwrap()), ["a/1", "a/2", "a/3", "a/4"]);
        draft.commit().unwrap();
        assert_eq!(names(&memory.scan("", "", 9).unwrap()), ["a/2", "a/22", "a/4", "a/9", "b/1"]);
    }
}

//! From the Ledger to KV: which names KV does not have yet as they are, in passes that a failure may cut anywhere.
//!
//! A journal entry is a name, not a value: a pass writes what the row says now, so writing twice or in another order
//! ends the same. Entries are sorted by [`Stage`], so that KV's manifest always finds its shards.

use super::Ledger;
use crate::{
    limits::{APPLY_BYTES, APPLY_NAMES},
    names::{self, Stage},
    rows::{Changes, Rows, RowsFault},
};

/// One write to KV: a name and its value; `None` deletes.
pub type Write = (String, Option<Vec<u8>>);

/// One pass: stages to be written one after the other, each in any order.
pub type Pass = [Vec<Write>; 3];

impl<R: Rows> Ledger<R> {
    /// Whether KV does not have everything.
    pub fn behind(&self) -> Result<bool, RowsFault> {
        Ok(!self.rows.scan(names::JOURNAL, "", 1)?.is_empty())
    }

    /// The next pass; `None` when KV has everything.
    pub fn next_pass(&self) -> Result<Option<Pass>, RowsFault> {
        let marks = self.rows.scan(names::JOURNAL, "", APPLY_NAMES)?;
        let mut pass = Pass::default();
        let mut bytes = 0_usize;
        for name in marks.iter().filter_map(|(mark, _)| names::parse_journal(mark)) {
            let value = self.rows.get(name)?;
            bytes = bytes.saturating_add(value.as_ref().map_or(0, Vec::len));
            add(&mut pass, name, value);
            if bytes >= APPLY_BYTES {
                break;
            }
        }
        Ok((!marks.is_empty()).then_some(pass))
    }

    /// Strikes out what `pass` wrote, unless it has changed since.
    pub fn applied(&self, pass: &Pass) -> Result<(), RowsFault> {
        let mut done = Changes::new();
        for (name, value) in pass.iter().flatten() {
            if self.rows.get(name)? == *value {
                done.insert(names::journal(Stage::of(name, value.is_some()), name), None);
            }
        }
        self.rows.commit(done)
    }
}

fn add([puts, manifest, deletes]: &mut Pass, name: &str, value: Option<Vec<u8>>) {
    let stage = match Stage::of(name, value.is_some()) {
        Stage::Put => puts,
        Stage::Manifest => manifest,
        Stage::Delete => deletes,
    };
    stage.push((name.to_owned(), value));
}

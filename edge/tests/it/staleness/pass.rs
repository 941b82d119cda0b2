//! A pass of the journal to KV as the Durable Object makes it: stage by stage, cut off anywhere, tried again.

use super::history::History;
use drawbridge_edge::ledger::journal::Write;
use std::collections::VecDeque;

/// A journal of a history has far fewer names than this many passes take.
const PASSES: usize = 10;

/// A pass under way: stages that wait, the first of them being written in any order.
pub(super) struct Pass {
    whole: [Vec<Write>; 3],
    left: VecDeque<Vec<Write>>,
}

impl History {
    pub(super) fn begin_pass(&mut self) {
        if self.pass.is_none() {
            let whole = self.common.ledger.lock().unwrap().next_pass().unwrap();
            self.pass = whole.map(|whole| Pass { left: whole.iter().cloned().collect(), whole });
        }
    }

    /// A write that fails ends the pass; it may have landed all the same.
    pub(super) fn write(&mut self, nth: usize, fails: bool, lands: bool) {
        let Some(pass) = &mut self.pass else { return };
        while pass.left.front().is_some_and(Vec::is_empty) {
            pass.left.pop_front();
        }
        let Some(stage) = pass.left.front_mut() else { return self.end_pass() };
        let (name, value) = stage.swap_remove(nth % stage.len());
        let refused = (!fails || lands) && self.common.write(&name, value).is_err();
        if fails || refused {
            self.pass = None;
        }
    }

    /// Everything was written: the journal hears of it.
    fn end_pass(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.common.ledger.lock().unwrap().applied(&pass.whole).unwrap();
        }
    }

    pub(super) fn finish_pass(&mut self) {
        while self.pass.is_some() {
            self.write(0, false, false);
        }
    }

    /// Passes at their pace until nothing is left.
    pub(super) fn let_kv_follow(&mut self) {
        self.pass = None;
        for _ in 0..PASSES {
            if !self.common.ledger.lock().unwrap().behind().unwrap() {
                return;
            }
            self.common.wait(1);
            self.begin_pass();
            self.finish_pass();
        }
        panic!("KV does not come to the end of the journal");
    }
}

//! All pairs of one run, with what the machine was like meanwhile.

use crate::{
    figures::{commit, load, machine},
    pairs::Pair,
};
use anyhow::Result;
use serde::Serialize;
use std::fmt;

/// Above so much load for each core before we begin, the machine is busy with something else.
const BUSY: f64 = 0.25;

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Comparison {
    commit: String,
    peer: &'static str,
    machine: String,
    /// Before anything was measured, and after all was.
    load: [f64; 2],
    /// Something else ran beside.
    busy: bool,
    pairs: Vec<Pair>,
}

impl Comparison {
    /// With `peer`, of this checkout, on this machine, as it is now.
    pub fn with(peer: &'static str) -> Result<Self> {
        let cores = std::thread::available_parallelism()?;
        let now = load()?;
        let busy = now > BUSY * cores.get() as f64;
        if busy {
            eprintln!("the machine is busy (load {now}): ratios of single runs will lie far apart");
        }
        Ok(Self { commit: commit()?, peer, machine: machine()?, load: [now, now], busy, pairs: Vec::new() })
    }

    /// What was measured meanwhile.
    pub fn add(&mut self, pairs: Vec<Pair>) {
        self.pairs.extend(pairs);
    }

    /// All was measured.
    pub fn end(&mut self) -> Result<()> {
        self.load[1] = load()?;
        Ok(())
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { commit, peer, machine, load, busy, pairs } = self;
        writeln!(f, "{commit} on {machine}, load {} .. {}{}", load[0], load[1], if *busy { " (busy)" } else { "" })?;
        let ours = "ours";
        writeln!(f, "{:<5} {:<9} {:<58} {ours:>10} {peer:>10} {:<7} {:>6}", "", "", "", "", "ratio")?;
        pairs.iter().try_for_each(|pair| writeln!(f, "{pair}"))
    }
}

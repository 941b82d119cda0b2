//! Figures of two ways side by side: runs by turns, and the ratio of those that ran next to each other.

use crate::cost;
use anyhow::{Context, Result};
use serde::Serialize;
use std::fmt;

/// Ratios further apart than this part of their median say little.
const NOISY: f64 = 0.5;

/// A way that bytes can go: the peer's, or one of ours.
pub trait Way {
    /// As figures are called.
    fn name(&self) -> &'static str;
    /// The processes at its two hops: the one that users call, and the one behind it.
    fn hops(&self) -> [u32; 2];
}

/// What our ratio to the peer is to be.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
    /// None.
    None,
}

/// A figure with its name and unit.
#[derive(Clone, Debug)]
pub struct Kind {
    /// What is measured.
    pub what: String,
    /// Of its values.
    pub unit: &'static str,
    /// For the way of that name.
    pub goal: fn(&str) -> Goal,
}

impl Kind {
    /// Called `what`, in `unit`.
    pub fn new(what: impl Into<String>, unit: &'static str, goal: fn(&str) -> Goal) -> Self {
        Self { what: what.into(), unit, goal }
    }
}

/// One figure of one of our ways, beside the peer's.
#[derive(Debug, Serialize)]
pub struct Pair {
    terms: &'static str,
    what: String,
    way: &'static str,
    unit: &'static str,
    ours: f64,
    peer: f64,
    ratio: Ratio,
    runs: usize,
    noisy: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    goal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    met: Option<bool>,
    /// Seconds of one run.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<Cpu>,
}

/// Ours by the peer's, run by run.
#[derive(Clone, Copy, Debug, Serialize)]
struct Ratio {
    median: f64,
    least: f64,
    most: f64,
}

/// Medians, at the jump host and at the target.
#[derive(Clone, Copy, Debug, Serialize)]
struct Cpu {
    ours: [f64; 2],
    peer: [f64; 2],
}

/// What one way showed, run by run: the figures of a run, and its CPU at both hops.
struct Series {
    values: Vec<Vec<f64>>,
    cpu: Vec<[f64; 2]>,
}

/// Measures by turns over `ways`, of which the first is the peer's, `runs` times each. A measurement gives a value for each
/// of `kinds`.
pub fn measure<W: Way>(
    terms: &'static str,
    kinds: &[Kind],
    ways: &[W],
    runs: usize,
    measure: impl Fn(&W) -> Result<Vec<f64>>,
) -> Result<Vec<Pair>> {
    let mut series: Vec<_> = ways.iter().map(|_| Series { values: Vec::new(), cpu: Vec::new() }).collect();
    for run in 0..runs {
        let turn = |place: usize| if run % 2 == 0 { place } else { ways.len() - 1 - place };
        for place in (0..ways.len()).map(turn) {
            let (way, series) = (&ways[place], &mut series[place]);
            let before = cpu(way)?;
            series.values.push(measure(way)?);
            let after = cpu(way)?;
            series.cpu.push([after[0] - before[0], after[1] - before[1]]);
        }
    }
    let (peer, ours) = series.split_first().context("no ways")?;
    let pairs = ours
        .iter()
        .zip(&ways[1..])
        .flat_map(|(ours, way)| kinds.iter().enumerate().map(move |(at, kind)| pair(terms, kind, at, way.name(), ours, peer)));
    Ok(pairs.inspect(|pair| eprintln!("{pair}")).collect())
}

fn cpu(way: &impl Way) -> Result<[f64; 2]> {
    let [first, second] = way.hops();
    Ok([cost::settled_cpu(first)?, cost::settled_cpu(second)?])
}

fn pair(terms: &'static str, kind: &Kind, at: usize, way: &'static str, ours: &Series, peer: &Series) -> Pair {
    let of = |series: &Series| series.values.iter().filter_map(|run| run.get(at).copied()).collect::<Vec<_>>();
    let (mine, theirs) = (of(ours), of(peer));
    let ratios: Vec<_> = mine.iter().zip(&theirs).map(|(ours, peer)| ours / peer).collect();
    let ratio = Ratio {
        median: median(&ratios),
        least: ratios.iter().copied().fold(f64::INFINITY, f64::min),
        most: ratios.iter().copied().fold(0.0, f64::max),
    };
    let (goal, met) = match (kind.goal)(way) {
        Goal::AtLeast(least) => (Some(format!(">= {least}")), Some(ratio.median >= least)),
        Goal::AtMost(most) => (Some(format!("<= {most}")), Some(ratio.median <= most)),
        Goal::None => (None, None),
    };
    let hops = |series: &Series| [0, 1].map(|hop| median(&series.cpu.iter().map(|cpu| cpu[hop]).collect::<Vec<_>>()));
    Pair {
        terms,
        what: kind.what.clone(),
        way,
        unit: kind.unit,
        ours: median(&mine),
        peer: median(&theirs),
        ratio,
        runs: mine.len(),
        noisy: ratio.most - ratio.least > NOISY * ratio.median,
        goal,
        met,
        // All figures of one measurement share its cost.
        cpu: (at == 0).then(|| Cpu { ours: hops(ours), peer: hops(peer) }),
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.get(sorted.len().saturating_sub(1) / 2), sorted.get(sorted.len() / 2)) {
        (Some(below), Some(above)) => f64::midpoint(*below, *above),
        _ => f64::NAN,
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { terms, what, way, unit, ours, peer, ratio, goal, met, .. } = self;
        write!(f, "{terms:<5} {way:<9} {what:<58} {ours:>10.2} {peer:>10.2} {unit:<7}")?;
        write!(f, " {:>6.2} ({:.2} .. {:.2})", ratio.median, ratio.least, ratio.most)?;
        if let (Some(goal), Some(met)) = (goal, met) {
            write!(f, "  {goal} {}", if *met { "met" } else { "MISSED" })?;
        }
        if let Some(Cpu { ours, peer }) = self.cpu {
            write!(f, "  cpu {:.2}+{:.2} / {:.2}+{:.2} s", ours[0], ours[1], peer[0], peer[1])?;
        }
        if self.noisy { f.write_str("  noisy") } else { Ok(()) }
    }
}

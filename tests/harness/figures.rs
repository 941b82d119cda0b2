//! Figures with their goals: medians, how far the runs lay apart, and whether that makes them worth little.

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::{
    fmt, fs,
    process::{Command, ExitCode},
};

/// A spread above this is said to be noisy.
const NOISY: f64 = 0.5;

/// One figure.
#[derive(Debug, Serialize)]
pub struct Figure {
    what: String,
    unit: &'static str,
    median: f64,
    p99: f64,
    /// Ninth decile less first, as a part of the median.
    spread: f64,
    noisy: bool,
    samples: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    goal: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    met: Option<bool>,
}

/// What the goal is set for.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// At most this, as a median.
    Median(f64),
    /// At most this, at the 99th percentile.
    P99(f64),
    /// At least this, as a median.
    Least(f64),
    /// None.
    None,
}

impl Figure {
    /// Of `samples`, of which there is at least one.
    pub fn new(what: impl Into<String>, unit: &'static str, mut samples: Vec<f64>, goal: Goal) -> Result<Self> {
        let what = what.into();
        ensure!(!samples.is_empty(), "no sample of: {what}");
        samples.sort_by(f64::total_cmp);
        let (median, p99) = (quantile(&samples, 0.5), quantile(&samples, 0.99));
        let spread = (quantile(&samples, 0.9) - quantile(&samples, 0.1)) / median.abs().max(f64::MIN_POSITIVE);
        let (goal, met) = match goal {
            Goal::Median(goal) => (Some(goal), Some(median <= goal)),
            Goal::P99(goal) => (Some(goal), Some(p99 <= goal)),
            Goal::Least(goal) => (Some(goal), Some(median >= goal)),
            Goal::None => (None, None),
        };
        Ok(Self { what, unit, median, p99, spread, noisy: spread > NOISY, samples: samples.len(), goal, met })
    }
}

fn quantile(sorted: &[f64], part: f64) -> f64 {
    let at = (part * (sorted.len() - 1) as f64).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// All figures of one run.
#[derive(Debug, Serialize)]
pub struct Report {
    commit: String,
    machine: String,
    figures: Vec<Figure>,
}

impl Report {
    /// Of this checkout, on this machine.
    pub fn new(figures: Vec<Figure>) -> Result<Self> {
        let machine = format!("{}, load {} at the end", machine()?, load()?);
        Ok(Self { commit: commit()?, machine, figures })
    }
}

/// How a benchmark ends, in words where it failed.
pub fn outcome(done: Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("error: {fault:#}");
            ExitCode::FAILURE
        }
    }
}

/// Leaves `report` in the results under `name`.
pub fn save(report: &impl Serialize, name: &str) -> Result<()> {
    let path = xtask::root().join("bench/results").join(name).with_extension("json");
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    let text = serde_json::to_string_pretty(report)? + "\n";
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Prints `report` for people, or as JSON.
pub fn show(report: &(impl Serialize + fmt::Display), as_json: bool) -> Result<()> {
    if as_json {
        println!("{}", serde_json::to_string_pretty(report)?);
    } else {
        println!("{report}");
    }
    Ok(())
}

/// What this machine is.
pub fn machine() -> Result<String> {
    let cores = std::thread::available_parallelism()?;
    Ok(format!("{} {}, {cores} cores", std::env::consts::OS, std::env::consts::ARCH))
}

/// How busy it has been for a minute (proc_loadavg(5)).
pub fn load() -> Result<f64> {
    Ok(fs::read_to_string("/proc/loadavg")?.split(' ').next().context("no load")?.parse()?)
}

/// This checkout's.
pub fn commit() -> Result<String> {
    let git = |arguments: &[&str]| Command::new("git").current_dir(xtask::root()).args(arguments).output();
    let head = String::from_utf8(git(&["rev-parse", "HEAD"])?.stdout)?;
    let clean = git(&["status", "--porcelain", "--untracked-files=no"])?.stdout.is_empty();
    Ok(format!("{}{}", head.trim(), if clean { "" } else { " with changes" }))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} on {}", self.commit, self.machine)?;
        writeln!(f, "{:<70} {:>10} {:>10}  {:<6} {:>7} {:>8}", "", "median", "p99", "unit", "spread", "goal")?;
        self.figures.iter().try_for_each(|figure| writeln!(f, "{figure}"))
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, unit, median, p99, spread, noisy, .. } = self;
        write!(f, "{what:<70} {median:>10.2} {p99:>10.2}  {unit:<6} {:>6.0}%", spread * 100.0)?;
        match (self.goal, self.met) {
            (Some(goal), Some(met)) => write!(f, " {goal:>8} {}", if met { "met" } else { "MISSED" })?,
            _ => write!(f, " {:>8}", "")?,
        }
        if *noisy { f.write_str(" noisy") } else { Ok(()) }
    }
}

//! `cargo xtask bench edge`: what a million keys cost, from the Ledger to a login, natively and under real workerd.

mod cold;
mod daemon;
mod ledger;
mod million;
mod origin;
mod worker;

use anyhow::{Context, Result};
use e2e::figures::{Figure, Report, outcome, save, show};
use million::Million;
use std::{env, path::PathBuf, process::ExitCode};

/// Keys of the native state.
const KEYS: usize = 1_000_000;
/// Changes that are measured natively.
const CHANGES: usize = 200;

fn main() -> ExitCode {
    let done = match cold::asked() {
        Some(cold) => cold.run(),
        None => measure(),
    };
    outcome(done)
}

fn measure() -> Result<()> {
    let mut figures = native()?;
    // What follows may fail; this took a while.
    figures.iter().for_each(|figure| eprintln!("{figure}"));
    figures.extend(worker::measure(xtask::root())?);
    let report = Report::new(figures)?;
    save(&report, "edge")?;
    show(&report, env::args().any(|argument| argument == "--json"))
}

fn native() -> Result<Vec<Figure>> {
    eprintln!("making {KEYS} keys ...");
    let million = Million::make(KEYS)?;
    let folder = tempfile::tempdir()?;
    let held = daemon::open(&million)?;
    let mut figures = daemon::lookups(&million, &held)?;
    eprintln!("cold starts ...");
    figures.extend(cold::measure(&million, folder.path())?);
    eprintln!("{CHANGES} changes ...");
    let (changes, cost) = ledger::changes(million, CHANGES)?;
    figures.push(cost);
    figures.extend(daemon::apply(held, &changes)?);
    Ok(figures)
}

/// This program, for a process of its own.
fn program() -> Result<PathBuf> {
    env::current_exe().context("where this program is, is unknown")
}

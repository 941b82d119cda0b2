//! `cargo xtask soak`: everything at once for a while, and then nothing may be left of it.

mod chaos;
mod load;
mod marks;
mod rough;

use anyhow::{Context, Result};
use chaos::Chaos;
use clap::Parser;
use e2e::Stack;
use load::{Cast, Deed, Echo};
use marks::{Marks, Verdict};
use rough::Rough;
use serde_json::json;
use std::{
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use xtask::{build, interrupt, root};

/// Part of the time after which memory counts as warmed up: allocators and tables have their size by then.
const WARM_UP: u32 = 2;
/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(15);
/// Faults that are kept word for word.
const MAX_TOLD: usize = 20;

/// Uses and disturbs the whole system for a while: at the end nothing may be left of it.
#[derive(Parser, Debug)]
#[command(bin_name = "cargo xtask soak")]
struct Options {
    /// How long
    #[arg(long, default_value_t = 10, value_name = "N")]
    minutes: u32,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// What was done, and what went wrong.
#[derive(Debug, Default)]
struct Tally {
    done: [AtomicU64; Deed::ALL.len()],
    disturbed: AtomicU64,
    faults: Mutex<Vec<String>>,
    over: AtomicBool,
}

fn main() -> ExitCode {
    soak(&Options::parse()).unwrap_or_else(|fault| {
        eprintln!("error: {fault:#}");
        ExitCode::FAILURE
    })
}

/// Runs it with the programs as they are shipped, and says what is left.
fn soak(options: &Options) -> Result<ExitCode> {
    interrupt::install()?;
    let mut stack = Stack::start(root(), &build::target(root()).join("soak"), build::released(root())?)?;
    let (tally, echo, rough) = (Tally::default(), Echo::start()?, Rough::start(&stack)?);
    let cast = Cast::assemble(&stack, &rough, echo.port())?;
    let whole = Duration::from_secs(60) * options.minutes;
    let warm = whole / WARM_UP;
    tally.run(&mut stack, &rough, &cast, warm)?;
    let before = Marks::once_quiet(&stack, &rough)?;
    eprintln!("warmed up: {before}");
    tally.run(&mut stack, &rough, &cast, whole - warm)?;
    let after = Marks::once_quiet(&stack, &rough)?;
    let verdicts = after.against(&before);
    tally.report(&verdicts, options.json)
}

impl Tally {
    /// Everything at once until `time` is over.
    fn run(&self, stack: &mut Stack, rough: &Rough, cast: &Cast, time: Duration) -> Result<()> {
        let (begun, chaos) = (Instant::now(), Chaos::default());
        self.over.store(false, Ordering::Release);
        let calmed = thread::scope(|scope| {
            for deed in Deed::ALL {
                let chaos = &chaos;
                scope.spawn(move || self.keep(deed, cast, chaos));
            }
            scope.spawn(|| self.tell(begun, time));
            let calmed = chaos.rage(stack, rough, begun + time);
            self.over.store(true, Ordering::Release);
            calmed
        });
        calmed.context("the system did not come back from a disturbance")
    }

    /// One kind of thing over and over. What fails while something is broken on purpose is no fault, unless it is
    /// promised to work then.
    fn keep(&self, deed: Deed, cast: &Cast, chaos: &Chaos) {
        while !self.over.load(Ordering::Acquire) {
            let before = chaos.now();
            match deed.once(cast, chaos) {
                Ok(()) => self.count(deed),
                Err(_) if chaos.touched(deed, before) => drop(self.disturbed.fetch_add(1, Ordering::Relaxed)),
                Err(fault) => self.fault(format!("{deed:?}: {fault:#}")),
            }
        }
    }

    fn count(&self, deed: Deed) {
        self.done.iter().zip(Deed::ALL).filter(|(_, one)| *one == deed).for_each(|(done, _)| {
            done.fetch_add(1, Ordering::Relaxed);
        });
    }

    fn fault(&self, fault: String) {
        eprintln!("FAULT {fault}");
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    fn tell(&self, begun: Instant, time: Duration) {
        let mut last = Instant::now();
        while !self.over.load(Ordering::Acquire) {
            thread::sleep(chaos::LOOK);
            if last.elapsed() > PROGRESS {
                last = Instant::now();
                eprintln!("{:>4} of {} s: {}", begun.elapsed().as_secs(), time.as_secs(), self.words());
            }
        }
    }

    fn words(&self) -> String {
        let each = self.done.iter().zip(Deed::ALL).map(|(done, deed)| format!("{} {deed:?}", done.load(Ordering::Relaxed)));
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner).len();
        let disturbed = self.disturbed.load(Ordering::Relaxed);
        format!("{}; {disturbed} disturbed, {faults} faults", each.collect::<Vec<_>>().join(", "))
    }

    fn report(&self, verdicts: &[Verdict], as_json: bool) -> Result<ExitCode> {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let good = faults.is_empty() && verdicts.iter().all(|verdict| verdict.good);
        if as_json {
            let done = self.done.iter().zip(Deed::ALL);
            let done: serde_json::Map<_, _> =
                done.map(|(done, deed)| (format!("{deed:?}"), done.load(Ordering::Relaxed).into())).collect();
            let told: Vec<_> = faults.iter().take(MAX_TOLD).collect();
            let disturbed = self.disturbed.load(Ordering::Relaxed);
            let report = json!({"good": good, "done": done, "disturbed": disturbed, "faults": faults.len(), "told": told, "left": verdicts});
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            drop(faults);
            println!("{}", self.words());
            verdicts.iter().for_each(|verdict| println!("{verdict}"));
        }
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

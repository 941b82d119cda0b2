//! `cargo xtask bench daemon`: how many logins the jump host bears, and what sessions hold that only wait. Clients are russh's,
//! many in this process: the real `ssh` would be most of the work.

mod visitor;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Parser;
use e2e::{
    Stack, cost,
    figures::{Figure, Goal, Report, outcome, save, show},
};
use futures_util::future::join_all;
use std::{
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};
use tokio::{
    runtime::Runtime,
    task::JoinSet,
    time::{Instant as Then, sleep_until},
};
use visitor::{Entry, Visit};
use xtask::{build, root};

/// What has just been done settles within this time.
const SETTLED: Duration = Duration::from_secs(3);

/// What may be said behind `--`.
#[derive(Parser, Debug)]
struct Options {
    /// Logins at a time
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Seconds of one run
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Runs
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Sessions that only wait
    #[arg(long, default_value_t = 500)]
    sessions: usize,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// cargo says so to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    outcome(measure(&Options::parse()))
}

fn measure(options: &Options) -> Result<()> {
    ensure!(options.clients > 0 && options.runs > 0 && options.sessions > 0, "--clients, --runs, --sessions: at least 1");
    xtask::interrupt::install()?;
    let world = Stack::start(root(), &build::target(root()).join("bench-daemon"), build::released(root())?)?;
    let (runtime, entry) = (Runtime::new()?, Entry::of(&world)?);
    // What is there only at the first login is not measured.
    runtime.block_on(runtime.block_on(entry.enter())?.end());
    let mut figures = idle(&world, &runtime, &entry, options.sessions)?;
    let (mut each, mut rates, mut waits) = (Vec::new(), Vec::new(), Vec::new());
    for run in 1..=options.runs {
        eprintln!("logins, run {run} of {} ...", options.runs);
        let (before, begun) = (cost::cpu(world.daemon.process.pid())?, Instant::now());
        let took = runtime.block_on(rush(&entry, options.clients, Duration::from_secs(options.seconds)))?;
        let cpu = cost::cpu(world.daemon.process.pid())? - before;
        rates.push(took.len() as f64 / begun.elapsed().as_secs_f64());
        each.push(cpu * 1e3 / took.len() as f64);
        waits.extend(took.iter().map(|took| took.as_secs_f64() * 1e3));
    }
    let bear: Vec<_> = each.iter().map(|ms| 1e3 / ms).collect();
    let at_once = options.clients;
    figures.extend([
        Figure::new("logins that one core of the jump host bears", "1/s", bear, Goal::Least(10.0))?,
        Figure::new(format!("logins with {at_once} at a time, clients and agent on the same cores"), "1/s", rates, Goal::None)?,
        Figure::new("jump host's CPU a login and channel", "ms", each, Goal::None)?,
        Figure::new(format!("from TCP to the workspace's first byte, {at_once} at a time"), "ms", waits, Goal::None)?,
    ]);
    let report = Report::new(figures)?;
    save(&report, "daemon")?;
    show(&report, options.json)
}

/// Kilobytes of a session that has no channel, and of one with an open channel beside all those: memory that sessions gave back
/// would be theirs again, and count for nothing.
fn idle(world: &Stack, runtime: &Runtime, entry: &Entry, sessions: usize) -> Result<Vec<Figure>> {
    eprintln!("{sessions} idle sessions ...");
    let memory = || Ok::<_, anyhow::Error>(cost::resident(world.daemon.process.pid())? as f64 / 1e3);
    let (mut figures, mut held) = (Vec::new(), Vec::new());
    for (what, channel) in [("with no channel", false), ("with a channel", true)] {
        thread::sleep(SETTLED);
        let before = memory()?;
        for _ in 0..sessions {
            let visit = runtime.block_on(async { if channel { entry.enter().await } else { entry.knock().await } });
            held.push(visit.with_context(|| format!("session {}", held.len()))?);
        }
        thread::sleep(SETTLED);
        let each = (memory()? - before) / sessions as f64;
        figures.push(Figure::new(
            format!("jump host's memory for an idle session, {what}"),
            "kB",
            vec![each],
            Goal::Median(80.0),
        )?);
    }
    runtime.block_on(join_all(held.into_iter().map(Visit::end)));
    Ok(figures)
}

/// How long each login took that ended within `time`.
async fn rush(entry: &Entry, clients: usize, time: Duration) -> Result<Vec<Duration>> {
    let (until, mut rushing) = (Then::now() + time, JoinSet::<Result<_>>::new());
    for _ in 0..clients {
        let entry = entry.clone();
        rushing.spawn(async move {
            let mut took = Vec::new();
            loop {
                let begun = Instant::now();
                let entered = tokio::select! {
                    () = sleep_until(until) => return Ok(took),
                    entered = entry.enter() => entered?,
                };
                took.push(begun.elapsed());
                entered.end().await;
            }
        });
    }
    let mut all = Vec::new();
    while let Some(took) = rushing.join_next().await {
        all.extend(took.map_err(|fault| anyhow!("a client panicked: {fault}"))??);
    }
    Ok(all)
}

//! `cargo xtask bench agents`: thousands of real agents, in this one process, on one daemon.

mod crowd;
mod daemon;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use crowd::{Crowd, Members};
use daemon::Usage;
use e2e::{
    Stack,
    figures::{Figure, Goal, Report, outcome, save, show},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};
use xtask::{build, root};

/// As the agent has it: room that no packet ever came for is none.
#[global_allocator]
static ALLOCATOR: drawbridge_shared::native::allocator::Allocator = drawbridge_shared::native::allocator::Allocator;

/// Agents forget what they waited for after a tunnel that lasted so long: every restart is to be the first.
const STABLE: Duration = Duration::from_secs(65);
/// What has just been done settles within this time.
const SETTLED: Duration = Duration::from_secs(5);
/// How long idle tunnels are watched: longer than one beat of their pulse.
const IDLE: Duration = Duration::from_secs(25);
/// After a restart all are to be back by then, in seconds.
const BACK: f64 = 10.0;

/// What may be said behind `--`.
#[derive(Parser, Debug)]
struct Options {
    /// Agents, over each transport
    #[arg(long, default_value_t = 2000)]
    count: usize,
    /// How often the daemon is restarted, each way, over each transport
    #[arg(long, default_value_t = 3)]
    restarts: usize,
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
    ensure!(options.count > 0 && options.restarts > 0, "--count and --restarts: at least 1");
    xtask::interrupt::install()?;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).context("cannot open as many files as allowed")?;
    let mut world = Stack::start(root(), &build::target(root()).join("bench-agents"), build::released(root())?)?;
    let mut figures = Vec::new();
    for transport in ["quic", "websocket"] {
        figures.extend(over(&mut world, transport, options)?);
    }
    let report = Report::new(figures)?;
    save(&report, "agents")?;
    show(&report, options.json)
}

fn over(world: &mut Stack, transport: &str, &Options { count, restarts, .. }: &Options) -> Result<Vec<Figure>> {
    eprintln!("{transport}: registering {count} workspaces ...");
    let members = Members::register(world, transport, count)?;
    world.restart_daemon()?;
    daemon::until(world, world.workspaces.len())?;
    thread::sleep(SETTLED);
    let before = Usage::of(world)?;
    eprintln!("{transport}: starting {count} agents ...");
    let crowd = Crowd::gather(world, &members)?;
    thread::sleep(SETTLED);
    let idle = Usage::of(world)?;
    thread::sleep(IDLE);
    let later = Usage::of(world)?;
    let each = |what: f64| vec![what / count as f64];
    let what = |text: &str| format!("{transport}, {count} agents: {text}");
    let mut figures = vec![
        Figure::new(what("daemon memory an idle tunnel"), "kB", each(idle.memory - before.memory), Goal::None)?,
        Figure::new(
            what("daemon CPU while idle"),
            "% core",
            vec![(later.cpu - idle.cpu) / IDLE.as_secs_f64() * 100.0],
            Goal::None,
        )?,
    ];
    figures.iter().for_each(|figure| eprintln!("{figure}"));
    let (mut back, mut rates, mut cpu, mut crashed) = (vec![], vec![], vec![], vec![]);
    for round in 1..=restarts {
        eprintln!("{transport}: restart {round} of {restarts} ...");
        let returned = return_after(world, count, |daemon| daemon.process.stop())?;
        back.push(returned.last.as_secs_f64());
        rates.push(returned.rate);
        cpu.push(returned.cpu * 1e3 / count as f64);
    }
    for _ in 0..restarts {
        crashed.push(return_after(world, count, |daemon| daemon.process.kill())?.last.as_secs_f64());
    }
    figures.extend([
        Figure::new(what("SIGTERM to the daemon -> all are back at the next one"), "s", back, Goal::Median(BACK))?,
        Figure::new(what("registrations while they come back"), "1/s", rates, Goal::None)?,
        Figure::new(what("daemon CPU a registration, its start included"), "ms", cpu, Goal::None)?,
        Figure::new(what("SIGKILL, and the next one starts -> all are back"), "s", crashed, Goal::None)?,
    ]);
    figures.iter().for_each(|figure| eprintln!("{figure}"));
    crowd.leave();
    Ok(figures)
}

/// How they came back.
struct Returned {
    last: Duration,
    /// Between the first tenth and the ninth.
    rate: f64,
    cpu: f64,
}

fn return_after(world: &mut Stack, count: usize, end: impl FnOnce(&mut xtask::stack::Daemon)) -> Result<Returned> {
    thread::sleep(STABLE);
    let (all, begun) = (count + world.workspaces.len(), Instant::now());
    end(&mut world.daemon);
    world.restart_daemon()?;
    let [tenth, most] = [all / 10, all - all / 10];
    let reached = [tenth, most, all].map(|wanted| daemon::until(world, wanted).map(|there| (there, begun.elapsed())));
    let [first, ninth, last] = reached;
    let ((had, first), (have, ninth), (_, last)) = (first?, ninth?, last?);
    let cpu = Usage::of(world)?.cpu;
    Ok(Returned { last, rate: (have - had) as f64 / (ninth - first).as_secs_f64().max(0.01), cpu })
}

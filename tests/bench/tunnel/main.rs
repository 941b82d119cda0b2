//! `cargo xtask bench tunnel`: TCP through a tunnel of ours, strands and all, beside the same through rathole.

mod ours;
mod rathole;
mod route;
mod traffic;

use anyhow::{Result, ensure};
use clap::Parser;
use e2e::{
    comparison::Comparison,
    cost,
    figures::{outcome, save, show},
    pairs::{Goal, Kind, Pair, Way, measure},
};
use ours::End;
use route::{PEER, Route};
use std::process::ExitCode;
use traffic::{Bulk, Service};
use xtask::root;

/// As tables are called: both encrypt.
const TERMS: &str = "tcp";
const GIB: f64 = (1_u64 << 30) as f64;

/// What may be said behind `--`.
#[derive(Parser, Debug)]
struct Options {
    /// MiB of a transfer
    #[arg(long, default_value_t = 512)]
    mib: usize,
    /// Runs of each figure, each way
    #[arg(long, default_value_t = 6)]
    runs: usize,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// cargo says so to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
    /// To be one end of a tunnel, in a process of its own
    #[command(subcommand)]
    end: Option<End>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match options.end {
        Some(end) => end.run(),
        None => compare(&options),
    };
    outcome(done)
}

fn compare(options: &Options) -> Result<()> {
    ensure!(options.mib > 0 && options.runs > 0, "--mib and --runs: at least 1");
    xtask::interrupt::install()?;
    let program = xtask::tools::rathole(root())?;
    let folder = tempfile::tempdir()?;
    let service = Service::start()?;
    let mut comparison = Comparison::with(PEER)?;
    let routes = Route::all(&program, folder.path(), service.address)?;
    comparison.add(figures(&routes, options.mib << 20, options.runs)?);
    comparison.end()?;
    save(&comparison, "tunnel")?;
    show(&comparison, options.json)
}

fn figures(routes: &[Route], bytes: usize, runs: usize) -> Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    let mut figure = |kinds: &[Kind], runs: usize, measurement: &dyn Fn(&Route) -> Result<Vec<f64>>| -> Result<()> {
        pairs.extend(measure(TERMS, kinds, routes, runs, measurement)?);
        Ok(())
    };
    let kinds = [kind("memory of an idle tunnel's daemon end", "MB"), kind("memory of its agent end", "MB")];
    figure(&kinds, 1, &|route| {
        Ok(route.hops().map(|pid| cost::shared_memory(pid).map_or(f64::NAN, |held| held / 1e6)).to_vec())
    })?;
    figure(&[kind("connection to first byte", "us")], runs, &|route| traffic::first_byte(route.visitors))?;
    let both = |way: &str| [kind(way, "MiB/s"), kind(&format!("CPU a GiB at both ends, {way}"), "s")];
    figure(&both("download"), runs, &|route| costing(route, bytes, || traffic::down(route.visitors, bytes)))?;
    figure(&both("upload"), runs, &|route| costing(route, bytes, || traffic::up(route.visitors, bytes)))?;
    for words in ["idle", "beside a download"] {
        let kinds = [kind(&format!("echo p50, {words}"), "us"), kind(&format!("echo p99, {words}"), "us")];
        figure(&kinds, runs, &|route| {
            let _bulk = (words != "idle").then(|| Bulk::start(route.visitors)).transpose()?;
            traffic::echo(route.visitors)
        })?;
    }
    Ok(pairs)
}

/// The rate, and the CPU seconds of both ends for each GiB.
fn costing(route: &Route, bytes: usize, transfer: impl Fn() -> Result<f64>) -> Result<Vec<f64>> {
    let cpu = || route.hops().into_iter().map(cost::cpu).sum::<Result<f64>>();
    let before = cpu()?;
    let rate = transfer()?;
    Ok(vec![rate, (cpu()? - before) * GIB / bytes as f64])
}

fn kind(what: &str, unit: &'static str) -> Kind {
    Kind::new(what, unit, |_| Goal::None)
}

//! `cargo xtask bench ssh`: our stack beside `ssh -J` through two of OpenSSH's sshd, figure by figure and run by run.

mod echo;
mod login;
mod route;
mod transfer;
mod world;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use e2e::{
    comparison::Comparison,
    figures::{outcome, save, show},
    pairs::{Goal, Kind, Pair, measure},
    seclusion::{self, Network},
};
use echo::Beside;
use route::{Route, Terms};
use std::{process::ExitCode, time::Duration};
use transfer::Goods;
use world::{Leg, World};
use xtask::{root, tools};

/// Runs of a figure that takes long, for one of those that are short.
const LONG: usize = 2;

/// Over distance a file has one of so many parts: windows are full by then.
const FAR: usize = 8;
/// And where packets are lost.
const LOSSY: usize = 32;

/// What may be said behind `--`.
#[derive(Parser, Debug)]
struct Options {
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Size of a large file
    #[arg(long, default_value_t = 512)]
    mib: usize,
    /// Runs of each figure, each way
    #[arg(long, default_value_t = 6)]
    runs: usize,
    /// Only figures whose names contain this
    #[arg(long, default_value = "")]
    only: String,
    /// cargo says so to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    outcome(begin(&Options::parse()))
}

fn begin(options: &Options) -> Result<()> {
    ensure!(options.mib > 0 && options.runs > 0, "--mib and --runs: at least 1");
    xtask::interrupt::install()?;
    if !seclusion::is_inside() {
        world::prepare()?;
        seclusion::enter(&world::folder(), Network::Own)?;
    }
    let bench = Bench {
        world: World::start()?,
        goods: Goods::prepare("near", options.mib)?,
        far_goods: Goods::prepare("far", options.mib.div_ceil(FAR))?,
        lossy_goods: Goods::prepare("lossy", options.mib.div_ceil(LOSSY))?,
        runs: options.runs,
        only: options.only.clone(),
    };
    let mut report = Comparison::with(world::PEER)?;
    for terms in [Terms::Equal, Terms::Stock] {
        report.add(bench.table(terms)?);
    }
    report.add(bench.over_distance()?);
    report.end()?;
    // A part says nothing about the whole.
    if options.only.is_empty() {
        save(&report, "ssh")?;
    }
    show(&report, options.json)
}

struct Bench {
    world: World,
    goods: Goods,
    far_goods: Goods,
    lossy_goods: Goods,
    runs: usize,
    only: String,
}

impl Bench {
    fn table(&self, terms: Terms) -> Result<Vec<Pair>> {
        let routes = self.world.near(terms)?;
        let (goods, rsync) = (&self.goods, tools::rsync(root())?);
        let few = self.runs.div_ceil(LONG);
        // What is there only at the first login is not measured.
        routes.iter().try_for_each(|route| login::first_byte(route).map(drop).context(route.name))?;
        let (down, up) = match terms {
            Terms::Equal => (DOWN_EQUAL, UP_EQUAL),
            Terms::Stock => (DOWN_STOCK, UP_STOCK),
        };
        let mut pairs = Vec::new();
        let mut figure = |kinds: &[Kind], runs: usize, measurement: &dyn Fn(&Route) -> Result<Vec<f64>>| -> Result<()> {
            if kinds.iter().any(|kind| kind.what.contains(&self.only)) {
                pairs.extend(measure(terms.name(), kinds, &routes, runs, measurement)?);
            }
            Ok(())
        };
        if terms == Terms::Equal {
            let kinds = [
                kind("jump host's memory for an idle session", "kB", none),
                kind("target's memory for an idle session", "kB", none),
            ];
            // Once, and first: what a session has freed serves the next.
            figure(&kinds, 1, &login::idle)?;
        }
        figure(&[kind("login to first byte", "ms", |_| Goal::AtMost(0.12))], self.runs * LONG, &login::first_byte)?;
        let cpu =
            |way: &str| kind(&format!("jump host's CPU a GiB, {way}"), "s", if terms == Terms::Equal { CPU_EQUAL } else { none });
        figure(&[kind("download", "MiB/s", down), cpu("download")], self.runs, &|route| goods.down(route))?;
        figure(&[kind("upload", "MiB/s", up), cpu("upload")], self.runs, &|route| goods.up(route))?;
        let large = |program: &str| both(program, "of one large file", "MiB/s", |_| Goal::AtLeast(1.2));
        figure(&large("sftp"), few, &|route| goods.sftp(route))?;
        figure(&large("scp"), few, &|route| goods.scp(route))?;
        let small = |program: &str| both(program, "of 2,000 small files", "files/s", |_| Goal::AtLeast(1.0));
        figure(&small("scp -r"), few, &|route| goods.scp_small(route))?;
        figure(&small("rsync"), few, &|route| goods.rsync_small(route, &rsync))?;
        for (beside, words) in [
            (Beside::Nothing, "idle"),
            (Beside::SameConnection, "beside a download, same connection"),
            (Beside::Upload, "beside an upload, same connection"),
            (Beside::OtherConnection, "beside a download, other connection"),
        ] {
            let mut kinds = vec![
                kind(&format!("echo p50, {words}"), "us", |_| Goal::AtMost(1.0)),
                kind(&format!("echo p99, {words}"), "us", none),
            ];
            if beside != Beside::Nothing {
                kinds.push(kind(&words.replacen("beside", "beside keystrokes:", 1), "MiB/s", none));
            }
            figure(&kinds, self.runs, &|route| echo::keystrokes(route, goods, beside))?;
        }
        let kinds =
            [kind("50 parallel logins, until all are in", "s", none), kind("logins a CPU second of the jump host", "1/s", none)];
        figure(&kinds, few, &login::crowd)?;
        Ok(pairs)
    }
}

const DOWN_EQUAL: fn(&str) -> Goal = |_| Goal::AtLeast(1.2);
const UP_EQUAL: fn(&str) -> Goal = |_| Goal::AtLeast(2.3);
impl Bench {
    /// What the wire makes of transfers, in either leg.
    fn over_distance(&self) -> Result<Vec<Pair>> {
        if !self.world.distance(Duration::ZERO, 0.0) {
            eprintln!("figures over distance take root, for a network of their own: left out");
            return Ok(Vec::new());
        }
        let mut pairs = Vec::new();
        for (leg, distances) in [(Leg::Inner, INNER), (Leg::Outer, OUTER)] {
            let routes = self.world.far(Terms::Equal, leg)?;
            for distance in distances {
                pairs.extend(self.over(leg, distance, &routes)?);
            }
        }
        Ok(pairs)
    }

    fn over(&self, leg: Leg, &(rtt, loss, [down, up]): &Distance, routes: &[Route]) -> Result<Vec<Pair>> {
        let loses = if loss > 0.0 { format!(", {} % lost", loss * 100.0) } else { String::new() };
        let whose = if leg == Leg::Outer { " to the user" } else { "" };
        let [down, up] = [("download", down), ("upload", up)]
            .map(|(what, aim)| kind(&format!("{what} over {rtt} ms{whose}{loses}"), "MiB/s", aim));
        if !down.what.contains(&self.only) && !up.what.contains(&self.only) {
            return Ok(Vec::new());
        }
        let (goods, few) = (if loss > 0.0 { &self.lossy_goods } else { &self.far_goods }, self.runs.div_ceil(LONG));
        self.world.distance(Duration::from_millis(rtt), loss);
        // A tunnel keeps sockets ready, whose handshakes knew the way as it was.
        routes.iter().try_for_each(|route| login::first_byte(route).map(drop).context(route.name))?;
        let mut pairs = measure(Terms::Equal.name(), &[down], routes, few, |route| goods.down(route))?;
        pairs.extend(measure(Terms::Equal.name(), &[up], routes, few, |route| goods.up(route))?);
        Ok(pairs)
    }
}

/// What a way is to reach.
type Aim = fn(&str) -> Goal;
/// A round trip in milliseconds, the part of the packets that is lost, and what to reach down and up.
type Distance = (u64, f64, [Aim; 2]);
/// Between the hops.
const INNER: &[Distance] = &[
    (20, 0.0, [|_| Goal::AtLeast(1.0), |_| Goal::AtLeast(1.8)]),
    (20, 0.01, [BEARS_LOSS, BEARS_LOSS]),
    (100, 0.0, [|_| Goal::AtLeast(1.0), |_| Goal::AtLeast(1.8)]),
    (100, 0.01, [LOSSY_GOAL, LOSSY_GOAL]),
];
/// To the user, whose own kernel alone decides on uploads.
const OUTER: &[Distance] =
    &[(20, 0.0, [none, none]), (20, 0.01, [BEARS_LOSS, none]), (100, 0.0, [none, none]), (100, 0.01, [BEARS_LOSS, none])];
const LOSSY_GOAL: fn(&str) -> Goal = |way| if way == "quic" { Goal::AtLeast(15.0) } else { BEARS_LOSS(way) };
/// Where TCP is below it as below the peer.
const BEARS_LOSS: fn(&str) -> Goal = |_| Goal::AtLeast(5.0);
const CPU_EQUAL: fn(&str) -> Goal = |_| Goal::AtMost(1.0);
const DOWN_STOCK: fn(&str) -> Goal = |way| Goal::AtLeast(if way == "websocket" { 1.6 } else { 1.4 });
const UP_STOCK: fn(&str) -> Goal = |way| Goal::AtLeast(if way == "websocket" { 3.5 } else { 2.8 });

fn kind(what: &str, unit: &'static str, goal: fn(&str) -> Goal) -> Kind {
    Kind::new(what, unit, goal)
}

const fn none(_: &str) -> Goal {
    Goal::None
}

/// A program's figures in both directions.
fn both(program: &str, of: &str, unit: &'static str, goal: fn(&str) -> Goal) -> [Kind; 2] {
    ["down", "up"].map(|way| kind(&format!("{program} {of}, {way}"), unit, goal))
}

//! End-to-end tests: the real Worker under workerd, daemon and agent as processes, the real `ssh`.

mod agents;
mod audit;
mod certificates;
mod ciphers;
mod edge_alone;
mod feed;
mod forwarding;
mod front_door;
mod gate;
mod jump;
mod keys_api;
mod login;
mod outage;
mod races;
mod resume;
mod revocation;
mod secrets;
mod session;
mod slow_readers;
mod snapshot;
mod transfer;
mod tunnels;

use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;

use Run::{Alone, Shared};
use anyhow::Result;
use e2e::Stack;

/// A test's name and what it does.
type Test = (&'static str, Run);

/// How a test uses the running system.
#[derive(Clone, Copy)]
enum Run {
    /// Beside others, and leaves it as it is.
    Shared(fn(&Stack) -> Result<()>),
    /// Alone with it: stops parts, and leaves it running.
    Alone(fn(&mut Stack) -> Result<()>),
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if let Err(fault) = xtask::interrupt::install() {
        eprintln!("cannot catch signals: {fault}");
        return ExitCode::FAILURE;
    }
    let tests = [
        login::TESTS,
        certificates::TESTS,
        ciphers::TESTS,
        session::TESTS,
        transfer::TESTS,
        forwarding::TESTS,
        jump::TESTS,
        keys_api::TESTS,
        races::TESTS,
        snapshot::TESTS,
        feed::TESTS,
        agents::TESTS,
        revocation::TESTS,
        audit::TESTS,
        outage::TESTS,
        edge_alone::TESTS,
        front_door::TESTS,
        slow_readers::TESTS,
        tunnels::TESTS,
        tunnels::transport::TESTS,
        tunnels::standby::TESTS,
        resume::TESTS,
    ];
    let trials = tests.into_iter().chain(gate::TESTS.iter().copied()).flatten().map(trial).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let last = libtest_mimic::run(&arguments, secrets::TESTS.iter().map(trial).collect());
    e2e::end_of_world();
    if conclusion.has_failed() || last.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn trial((name, run): &Test) -> Trial {
    let run = *run;
    Trial::test(*name, move || run.once().map_err(|fault| Failed::from(format!("{fault:#}"))))
}

impl Run {
    fn once(self) -> Result<()> {
        match self {
            Shared(test) => e2e::with_world(test),
            Alone(test) => e2e::alone_with_world(test),
        }
    }
}

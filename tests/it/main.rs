//! End-to-end tests: the real Worker under workerd, daemon and agent as processes, the real `ssh`.

mod agents;
mod audit;
mod bulk;
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

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::{process::ExitCode, thread};

use Run::{Alone, Patient, Shared};
use anyhow::Result;
use e2e::Stack;
use xtask::whole;

/// A test's name and what it does.
type Test = (&'static str, Run);

/// How a test uses the running system.
#[derive(Clone, Copy)]
enum Run {
    /// Beside others, mostly waiting: it takes no thread from them.
    Patient(fn(&Stack) -> Result<()>),
    /// Beside others, and leaves it as it is.
    Shared(fn(&Stack) -> Result<()>),
    /// Alone with it: stops parts, and leaves it running.
    Alone(fn(&mut Stack) -> Result<()>),
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
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
        tunnels::takeover::TESTS,
        tunnels::endurance::TESTS,
        tunnels::lifecycle::TESTS,
        tunnels::forgery::TESTS,
        resume::TESTS,
    ];
    let mut tests: Vec<_> = tests.into_iter().chain(gate::TESTS.iter().copied()).flatten().collect();
    tests.sort_by_key(|(_, run)| run.turn());
    let patient = tests.iter().filter(|(_, run)| matches!(run, Patient(_))).count();
    arguments.test_threads.get_or_insert_with(|| patient + thread::available_parallelism().map_or(1, usize::from));
    let trials = tests.into_iter().map(trial).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let last = libtest_mimic::run(&arguments, secrets::TESTS.iter().map(trial).collect());
    e2e::end_of_world();
    whole::tell();
    if conclusion.has_failed() || last.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn trial((name, run): &Test) -> Trial {
    let (name, run) = (*name, *run);
    Trial::ignorable_test(name, move || match run.once() {
        Ok(()) => Ok(Completion::Completed),
        Err(fault) if whole::leaves_out(name, &fault) => Ok(Completion::ignored()),
        Err(fault) => Err(Failed::from(format!("{fault:#}"))),
    })
}

impl Run {
    /// Who waits long begins first, and who wants to be alone comes last: nobody is held up by those who wait for that.
    const fn turn(self) -> u8 {
        match self {
            Patient(_) => 0,
            Shared(_) => 1,
            Alone(_) => 2,
        }
    }

    fn once(self) -> Result<()> {
        match self {
            Patient(test) | Shared(test) => e2e::with_world(test),
            Alone(test) => e2e::alone_with_world(test),
        }
    }
}

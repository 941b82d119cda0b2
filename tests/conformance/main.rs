//! The conformance suite: what stock clients see of OpenSSH's sshd, and of our agent through the daemon, is the same.

mod differences;
mod facts;
mod live;
mod openssh;
mod others;
mod replay;
mod run;
mod scene;
mod scripts;
mod side;
mod world;

use anyhow::Result;
use e2e::seclusion::{self, Network};
use facts::Facts;
use libtest_mimic::{Arguments, Failed, Trial};
use scene::Scene;
use side::Side;
use std::{process::ExitCode, thread};
use world::World;
use xtask::whole;

/// Cases that run at a time: most of their time they wait for one another's processes.
const AT_A_TIME: usize = 4;

/// What is done at each of the two servers.
pub(crate) trait Case: Sync {
    /// Notes in `scene` what came of it.
    fn play(&self, scene: &Scene<'_>) -> Result<()>;
}

impl<F: Fn(&Scene<'_>) -> Result<()> + Sync> Case for F {
    fn play(&self, scene: &Scene<'_>) -> Result<()> {
        self(scene)
    }
}

/// A case with its name.
pub(crate) type Named = (String, Box<dyn Case + Send>);

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_A_TIME);
    let left_out = match begin(&arguments) {
        Ok(()) => false,
        Err(fault) if whole::leaves_out("the conformance suite", &fault) => true,
        Err(fault) => {
            eprintln!("error: {fault:#}");
            return ExitCode::FAILURE;
        }
    };
    let conclusion = libtest_mimic::run(&arguments, trials(left_out));
    world::end();
    whole::tell();
    conclusion.exit_code()
}

fn begin(arguments: &Arguments) -> Result<()> {
    xtask::interrupt::install()?;
    if arguments.list || seclusion::is_inside() {
        return Ok(());
    }
    world::prepare()?;
    whole::needed(world::gather().and_then(|()| seclusion::require(Network::Machine)))?;
    seclusion::enter(&world::folder(), Network::Machine)
}

/// All cases, `left_out` or not.
fn trials(left_out: bool) -> Vec<Trial> {
    let cases: Vec<Named> = openssh::cases().chain(others::cases()).chain(replay::cases()).chain(scripts::cases()).collect();
    let names: Vec<_> = cases.iter().map(|(name, _)| name.clone()).collect();
    let list = Trial::test("differences::every_entry_has_a_case_and_a_reason", move || {
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        differences::check(&names).map_err(told)
    });
    cases
        .into_iter()
        .map(|(name, case)| Trial::test(name.clone(), move || compare(&name, &*case).map_err(told)).with_ignored_flag(left_out))
        .chain([list])
        .collect()
}

fn told(fault: anyhow::Error) -> Failed {
    format!("{fault:#}").into()
}

/// Plays a case at both servers, beside each other, and judges.
fn compare(name: &str, case: &dyn Case) -> Result<()> {
    let world = world::world()?;
    let (sshd, agent) = thread::scope(|scope| {
        let agent = scope.spawn(|| outcome(&world, &world.agent, case));
        (outcome(&world, &world.sshd, case), agent.join())
    });
    differences::judge(name, &sshd, &agent.map_err(|_| anyhow::anyhow!("the case panicked"))?)
}

/// What came of `case` at `side`: its facts, or only why it broke.
fn outcome(world: &World, side: &Side, case: &dyn Case) -> Facts {
    let played = Scene::new(world, side).map(|scene| {
        let played = case.play(&scene);
        let mut facts = scene.facts().clone();
        if let Err(fault) = played {
            facts.note(differences::FAILED, format!("{fault:#}"));
        }
        facts
    });
    played.unwrap_or_else(|fault| {
        let mut facts = Facts::default();
        facts.note(differences::FAILED, format!("{fault:#}"));
        facts
    })
}

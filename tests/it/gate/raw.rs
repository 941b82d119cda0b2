//! Clients that keep no rule, on bare sockets, against both SSH servers: each is refused or ended as OpenSSH's server would
//! or sooner, and others notice nothing.

pub(super) mod channels;
mod flood;
mod forsaken;
mod keys;
mod login;
mod malformed;
mod residue;
pub(super) mod scene;
mod typing;

use crate::{
    Run::{Patient, Shared},
    Test,
};
use anyhow::{Context, Result, ensure};
use e2e::Stack;
use scene::{Door, Scene};

pub(crate) const TESTS: &[Test] = &[
    ("raw::adversaries_at_the_jump_host", Shared(jump)),
    ("raw::adversaries_at_the_agent", Shared(agent)),
    ("raw::channels_leave_no_memory_behind_at_the_jump_host", Shared(residue::jump)),
    ("raw::channels_leave_no_memory_behind_at_the_agent", Shared(residue::agent)),
    ("raw::a_channel_that_its_client_closes_ends_whatever_its_agent_does", Patient(forsaken::silent)),
    ("raw::a_download_makes_way_for_keystrokes", Patient(typing::download)),
];

/// What one of them does, and what has to come of it.
type Case = (&'static str, fn(&Door) -> Result<()>);

const CASES: &[&[Case]] = &[keys::CASES, login::CASES, channels::CASES, malformed::CASES, flood::CASES];

fn jump(world: &Stack) -> Result<()> {
    let mut scene = Scene::new(world, "raw-jump")?;
    let door = scene.jump();
    let slow = keys::slow(&door);
    play(&mut scene, &door)?;
    slow.into_iter().try_for_each(|slow| slow.join().map_err(|_| anyhow::anyhow!("no outcome"))?)?;
    scene.unharmed("the slow ones")
}

fn agent(world: &Stack) -> Result<()> {
    let mut scene = Scene::new(world, "raw-agent")?;
    let door = scene.agent()?;
    play(&mut scene, &door)
}

/// All of them, so that one run tells of every failure.
fn play(scene: &mut Scene, door: &Door) -> Result<()> {
    let mut failures = Vec::new();
    for (name, case) in CASES.iter().copied().flatten() {
        let played = case(door).with_context(|| (*name).to_owned()).and_then(|()| scene.unharmed(name));
        failures.extend(played.err().map(|fault| format!("{fault:#}")));
    }
    ensure!(
        failures.is_empty(),
        "{} of {} failed:\n{}",
        failures.len(),
        CASES.iter().copied().flatten().count(),
        failures.join("\n")
    );
    scene.nothing_raw_is_logged()
}

//! With the control plane gone, whoever could log in still can.

use crate::{Run::Alone, Test};
use anyhow::Result;
use e2e::{Session, Stack, within};
use std::time::Duration;

pub(crate) const TESTS: &[Test] = &[
    ("outage::logins_go_on_without_the_edge", Alone(without_edge)),
    ("outage::an_agent_starts_without_the_edge", Alone(agent_starts)),
    ("outage::a_daemon_starts_without_the_edge", Alone(daemon_starts)),
    ("outage::a_fresh_key_of_a_gone_edge_is_refused_within_a_bound", Alone(no_edge_to_ask)),
];

/// An agent notices within this time that its daemon was killed, and dials again.
const BACK: Duration = Duration::from_secs(90);

/// What an outage is survived with has arrived before it.
fn settled(world: &Stack) -> Result<()> {
    for (user, target) in [("alice", "user@ws-796636"), ("bob", "user@ws-lighthouse")] {
        let user = world.user(user)?;
        // A test before may have killed the daemon.
        within(BACK, "agents are back", || Ok(user.run(target, "echo in")?.text() == "in\n"))?;
    }
    Ok(())
}

fn without_edge(world: &mut Stack) -> Result<()> {
    settled(world)?;
    world.edge.stop();
    let tried = world.user("alice")?.run("user@ws-796636", "echo still in");
    world.edge.restart()?;
    tried?.printed("still in\n")?;
    world.user("alice")?.run("user@796636", "echo and after")?.printed("and after\n")
}

fn agent_starts(world: &mut Stack) -> Result<()> {
    settled(world)?;
    world.edge.stop();
    let restarted = world.restart_agent("lighthouse");
    let tried = world.user("bob")?.run("user@ws-lighthouse", "echo still in");
    world.edge.restart()?;
    restarted?;
    tried?.printed("still in\n")
}

/// From what is on disk, verified again.
fn daemon_starts(world: &mut Stack) -> Result<()> {
    settled(world)?;
    world.edge.stop();
    let restarted = world.restart_daemon();
    let alice = world.user("alice")?.clone();
    let back = restarted.and_then(|()| {
        within(BACK, "agents are back", || Ok(alice.run("user@ws-796636", "echo still in")?.text() == "still in\n"))
    });
    world.edge.restart()?;
    back
}

/// A look-up that finds no edge delays the refusal, and no other login.
fn no_edge_to_ask(world: &mut Stack) -> Result<()> {
    settled(world)?;
    let stranger = world.new_stranger("quentin")?;
    world.edge.stop();
    let refused = stranger.run("user@ws-796636", "true");
    let tried = world.user("alice")?.run("user@ws-796636", "echo in");
    world.edge.restart()?;
    refused?.refused("Permission denied (publickey).")?;
    tried?.printed("in\n")
}

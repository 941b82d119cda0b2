//! With the control plane gone, whoever could log in still can.

use crate::{Run::Alone, Test};
use anyhow::Result;
use e2e::{Session, Stack};

pub(crate) const TESTS: &[Test] = &[
    ("outage::logins_go_on_without_the_edge", Alone(without_edge)),
    ("outage::an_agent_starts_without_the_edge", Alone(agent_starts)),
];

fn without_edge(world: &mut Stack) -> Result<()> {
    world.edge.stop();
    let tried = world.user("alice")?.run("user@ws-796636", "echo still in");
    world.edge.restart()?;
    tried?.printed("still in\n")?;
    world.user("alice")?.run("user@796636", "echo and after")?.printed("and after\n")
}

fn agent_starts(world: &mut Stack) -> Result<()> {
    world.edge.stop();
    let restarted = world.restart_agent("lighthouse");
    let tried = world.user("bob")?.run("user@ws-lighthouse", "echo still in");
    world.edge.restart()?;
    restarted?;
    tried?.printed("still in\n")
}

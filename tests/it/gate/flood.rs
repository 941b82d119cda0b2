//! Good users log in while others hold connections half open, fail, and try unknown keys.

use super::{
    attack::{Attack, HALF_OPEN},
    scene::{Held, NOWHERE, Scene, call},
    upstream::Upstream,
};
use crate::{Run::Alone, Test};
use anyhow::{Result, bail, ensure};
use drawbridge_shared::native::refresh::GAP;
use e2e::{SOON, Stack, User, client::Outcome, within};
use std::{
    thread,
    time::{Duration, Instant},
};

pub(crate) const TESTS: &[Test] = &[
    ("flood::one_source_cannot_keep_others_out", Alone(one_source)),
    ("flood::there_is_room_for_many_half_open_connections", Alone(room)),
    ("flood::failed_logins_add_up_and_concern_nobody_else", Alone(penalties)),
    ("flood::unknown_keys_at_the_jump_are_no_flood_at_the_edge", Alone(unknown_keys)),
    ("flood::unknown_keys_at_an_agent_are_no_flood_at_the_edge", Alone(unknown_keys_inside)),
];

/// One login of a good user takes no longer on a machine that is also busy attacking; alone it takes a tenth of a second.
const ORDINARY: Duration = Duration::from_secs(10);
/// For each half-open connection, in kB.
const MEMORY: usize = 200;
/// Logins with unknown keys, and how many at a time.
const STRANGERS: (usize, usize) = (48, 8);

/// Several logins of the good user by `way`, each within ordinary time; the most that the daemon held meanwhile.
fn good_user(scene: &Scene, way: &str) -> Result<Held> {
    let mut most = scene.held()?;
    for n in 0..8 {
        let begun = Instant::now();
        let entered = scene.enter(way)?;
        ensure!(entered.status == Some(0) && entered.text() == "in\n", "login {n}: {entered:?}");
        ensure!(begun.elapsed() < ORDINARY, "login {n} took {:?}", begun.elapsed());
        let held = scene.held()?;
        most = Held { descriptors: most.descriptors.max(held.descriptors), memory: most.memory.max(held.memory) };
    }
    Ok(most)
}

/// The daemon has as many descriptors as before.
fn recovers(scene: &Scene, before: Held) -> Result<()> {
    // The login deadline comes first.
    within(SOON * 2, "all of it is gone", || {
        let waiting = scene.region.daemon.sample("drawbridge_pre_auth")?;
        Ok(waiting < 1.0 && scene.held()?.descriptors <= before.descriptors)
    })
}

fn one_source(world: &mut Stack) -> Result<()> {
    let scene = Scene::new(world, "besieged", &NOWHERE)?;
    scene.enter("-b 127.0.0.2")?.printed("in\n")?;
    let before = scene.held()?;
    let attack = Attack::start(scene.door())?;
    within(SOON, "the source is at its limit", || Ok(scene.dropped("busy")? > 0.0))?;
    let most = good_user(&scene, "-b 127.0.0.2")?;
    ensure!(most.descriptors < before.descriptors + 150, "{most:?} after {before:?}: a source has its bound");
    within(SOON * 2, "the source is shut out", || Ok(scene.dropped("penalised")? > 100.0))?;
    good_user(&scene, "-b 127.0.0.2")?;
    let refused = call(&scene.user, "127.0.0.1")?;
    ensure!(refused.status == Some(255), "{refused:?}");
    drop(attack);
    ensure!(scene.dropped("crowded")? < 1.0, "nobody was dropped by chance");
    recovers(&scene, before)
}

fn room(world: &mut Stack) -> Result<()> {
    let scene = Scene::new(world, "roomy", &[])?;
    scene.enter("-b 127.0.0.1")?.printed("in\n")?;
    let before = scene.held()?;
    let attack = Attack::start(scene.door())?;
    let held = || Ok(scene.held()?.descriptors >= before.descriptors + HALF_OPEN);
    within(SOON, "all are held", held)?;
    let most = good_user(&scene, "-b 127.0.0.1")?;
    drop(attack);
    ensure!(most.memory < before.memory + MEMORY * HALF_OPEN, "{most:?} after {before:?}");
    ensure!(most.descriptors < before.descriptors + HALF_OPEN * 2, "{most:?} after {before:?}");
    ensure!(scene.dropped("unknown-key")? > 0.0, "some exchanged keys");
    ensure!(scene.dropped("crowded")? + scene.dropped("busy")? + scene.dropped("penalised")? < 1.0);
    recovers(&scene, before)
}

fn penalties(world: &mut Stack) -> Result<()> {
    let scene = Scene::new(world, "strict", &NOWHERE)?;
    let stranger = scene.here(world, &world.new_stranger("strict-stranger")?)?;
    let turned_away = "too many failed logins from your address";
    let mut tries = 0;
    within(SOON * 4, "the stranger is shut out", || {
        tries += 1;
        let refused = call(&stranger, "127.0.0.1")?;
        ensure!(refused.status == Some(255), "{refused:?}");
        Ok(refused.err.contains(turned_away))
    })?;
    ensure!(tries > 6, "after {tries} failures already");
    let neighbour = call(&scene.user, "127.0.0.1")?;
    ensure!(neighbour.status == Some(255) && neighbour.err.contains(turned_away), "{neighbour:?}");
    let other = call(&scene.user, "127.0.0.2")?;
    ensure!(other.status == Some(0), "{other:?}");
    within(SOON, "all are counted", || Ok(scene.dropped("unknown-key")? >= f64::from(tries - 1)))?;
    ensure!(scene.dropped("penalised")? >= 2.0);
    let trail = std::fs::read_to_string(&scene.region.daemon.audit)?;
    ensure!(trail.matches("\"reason\":\"unknown-key\"").count() as f64 >= f64::from(tries - 1), "{trail}");
    Ok(())
}

fn unknown_keys(world: &mut Stack) -> Result<()> {
    let upstream = Upstream::start(&world.edge.url, "/v1/snapshot")?;
    let scene = Scene::new(world, "curious", &["--edge", &upstream.url(), "--poll-seconds", "3600"])?;
    scene.enter("-b 127.0.0.1")?.printed("in\n")?;
    strangers(world, &scene, &upstream, |stranger| call(stranger, "127.0.0.1"))?;
    within(SOON, "all are counted", || Ok(scene.dropped("unknown-key")? >= STRANGERS.0 as f64))
}

fn unknown_keys_inside(world: &mut Stack) -> Result<()> {
    let upstream = Upstream::start(&world.edge.url, "/v1/agent/authorized-keys")?;
    let scene = Scene::with_agent(world, "inside", &[], &["--edge", &upstream.url()])?;
    scene.enter("-b 127.0.0.1")?.printed("in\n")?;
    strangers(world, &scene, &upstream, |stranger| scene.run_as(stranger, "-b 127.0.0.1", "true"))
}

/// Many logins with unknown keys, each of which is refused; the edge is asked no more often than [`GAP`] allows.
fn strangers(world: &Stack, scene: &Scene, upstream: &Upstream, login: impl Fn(&User) -> Result<Outcome> + Sync) -> Result<()> {
    let (logins, at_once) = STRANGERS;
    let strangers = (0..at_once).map(|n| scene.here(world, &world.new_stranger(&format!("{}-{n}", scene.region.name))?));
    let strangers = strangers.collect::<Result<Vec<User>>>()?;
    let refused = |stranger| login(stranger)?.refused("Permission denied (publickey)");
    let (asked, begun) = (upstream.asked(), Instant::now());
    thread::scope(|scope| {
        let refused = &refused;
        let calls =
            strangers.iter().map(|stranger| scope.spawn(move || (0..logins / at_once).try_for_each(|_| refused(stranger))));
        let calls: Vec<_> = calls.collect();
        calls.into_iter().try_for_each(|call| call.join().unwrap_or_else(|_| bail!("it panicked")))
    })?;
    let (asked, lasted) = (upstream.asked() - asked, begun.elapsed());
    let bound = lasted.as_millis() / GAP.as_millis() + 2;
    ensure!(asked > 0 && asked as u128 <= bound, "{asked} questions of {logins} strangers in {lasted:?}");
    Ok(())
}

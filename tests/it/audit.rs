//! What the daemon says it did: the trail, the metrics and the probes, against what was done.

use crate::{Run::Alone, Run::Shared, Test};
use anyhow::{Context, Result, ensure};
use drawbridge_shared::native::identity::Identity;
use e2e::{SOON, Session, Stack, User, client::fingerprint, within};
use serde_json::Value;
use std::{fs, process::Command};

pub(crate) const TESTS: &[Test] = &[
    ("audit::a_login_is_told_from_its_key_to_its_bytes", Shared(told)),
    ("audit::refusals_are_told_with_their_reason", Shared(refusals)),
    ("audit::the_trail_goes_on_in_a_new_file_once_the_old_one_is_moved", Alone(moved)),
    ("audit::neither_payload_nor_secrets_are_in_it", Shared(no_payload)),
    ("audit::metrics_are_well_formed_and_count", Shared(metrics)),
    ("audit::the_daemon_is_alive_and_ready", Shared(ready)),
    ("audit::a_daemon_that_is_registered_with_another_identity_is_not_ready", Shared(unlisted)),
];

/// The trail's lines of that event about `user`'s key.
pub(crate) fn events(world: &Stack, user: &User, event: &str) -> Result<Vec<Value>> {
    let key = fingerprint(user)?;
    let trail = fs::read_to_string(&world.daemon.audit)?;
    let lines: Vec<Value> = trail.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    Ok(lines.into_iter().filter(|line| line["event"] == event && line["key"] == key.as_str()).collect())
}

/// The one such line, once it is there.
fn event(world: &Stack, user: &User, event: &str) -> Result<Value> {
    within(SOON, event, || Ok(!events(world, user, event)?.is_empty()))?;
    let mut all = events(world, user, event)?;
    ensure!(all.len() == 1, "{all:?}");
    all.pop().context("no such line")
}

fn told(world: &Stack) -> Result<()> {
    let otto = world.new_user("otto")?;
    world.edge.operator().put("/api/operator/workspaces/lighthouse/members/otto", &serde_json::json!({}))?.ok()?;
    otto.run("user@ws-lighthouse", "head -c 300000 /dev/zero")?;
    let [login, open, close, logout] = [
        event(world, &otto, "login")?,
        event(world, &otto, "open")?,
        event(world, &otto, "close")?,
        event(world, &otto, "logout")?,
    ];
    for line in [&open, &close, &logout] {
        ensure!(line["trace"] == login["trace"] && line["source"] == login["source"], "{line} is not of {login}");
    }
    for line in [&open, &close] {
        ensure!(line["user"] == "otto" && line["workspace"] == "lighthouse", "{line}");
    }
    ensure!(close["down"].as_u64() > Some(300_000) && close["up"].as_u64() > Some(1000), "{close}");
    ensure!(close["durationMs"].is_u64() && close["reason"].is_string() && logout["reason"] == "finished", "{close} {logout}");
    Ok(())
}

fn refusals(world: &Stack) -> Result<()> {
    let pia = world.new_user("pia")?;
    pia.run("user@ws-796636", "true")?.refused("no workspace 796636")?;
    let line = event(world, &pia, "refusal")?;
    ensure!(line["reason"] == "no-access" && line["workspace"] == "796636", "{line}");
    let before = world.daemon.sample("drawbridge_refusals_total{reason=\"target\"}")?;
    let mut ssh = Command::new("ssh");
    ssh.arg("-F").arg(&pia.ssh_config).args(["-n", "-o", "BatchMode=yes", "-W", "[::1]:22", "jump"]);
    e2e::client::outcome(&mut ssh)?.refused("a target is a workspace id")?;
    ensure!(world.daemon.sample("drawbridge_refusals_total{reason=\"target\"}")? > before);
    Ok(())
}

fn moved(world: &mut Stack) -> Result<()> {
    let old = world.daemon.audit.with_extension("1");
    fs::rename(&world.daemon.audit, &old)?;
    world.user("alice")?.run("user@ws-796636", "true")?.printed("")?;
    within(SOON, "a new trail", || Ok(world.daemon.audit.exists()))?;
    fs::remove_file(&world.daemon.audit)?;
    world.daemon.process.signal(rustix::process::Signal::HUP);
    within(SOON, "a new trail after SIGHUP, without an event", || Ok(world.daemon.audit.exists()))?;
    ensure!(world.daemon.process.ended().is_none(), "SIGHUP ended the daemon");
    Ok(())
}

fn no_payload(world: &Stack) -> Result<()> {
    let secret = "correct-horse-battery";
    world.user("alice")?.run("user@ws-796636", &format!("echo {secret}"))?.printed(&format!("{secret}\n"))?;
    let trail = fs::read_to_string(&world.daemon.audit)?;
    ensure!(!trail.contains(secret) && !trail.contains("dbd_") && !trail.contains("PRIVATE"));
    Ok(())
}

fn metrics(world: &Stack) -> Result<()> {
    let before = world.daemon.sample("drawbridge_channels_opened_total")?;
    world.user("bob")?.run("user@ws-lighthouse", "true")?.printed("")?;
    ensure!(world.daemon.sample("drawbridge_channels_opened_total")? > before);
    ensure!(world.daemon.sample("drawbridge_snapshot_seq")? > 0.0);
    ensure!(world.daemon.sample("drawbridge_tunnels{transport=\"quic\"}")? >= 2.0);
    let (status, text) = world.daemon.ask("/metrics")?;
    ensure!(status == 200 && text.ends_with("# EOF\n"), "{text}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').with_context(|| line.to_owned())?;
        ensure!(value.parse::<f64>().is_ok(), "{line}");
    }
    Ok(())
}

fn ready(world: &Stack) -> Result<()> {
    ensure!(world.daemon.ask("/healthz")? == (200, "alive\n".into()));
    ensure!(world.daemon.ask("/readyz")? == (200, "ready\n".into()));
    ensure!(world.daemon.ask("/elsewhere")?.0 == 404);
    Ok(())
}

/// As after the loss of its state folder.
fn unlisted(world: &Stack) -> Result<()> {
    let region = world.region("unlisted", &[], |daemon| Ok(vec![daemon]))?;
    let answers = |words: &str| within(SOON, words, || Ok(region.daemon.ask("/readyz")?.1.starts_with(words)));
    answers("ready\n")?;
    let api = world.edge.operator();
    let listed: Value = api.get("/api/operator/daemons?limit=1000")?.json()?;
    let entry = listed["items"].as_array().and_then(|all| all.iter().find(|entry| entry["id"] == "unlisted"));
    let own = entry.context("it is not registered")?["identity"].clone();
    let register = |identity: &Value| {
        let body = serde_json::json!({"identity": identity, "region": region.name, "addresses": [region.daemon.tunnel]});
        api.put("/api/operator/daemons/unlisted", &body)?.ok()
    };
    register(&Identity::from_seed(&[42; 32]).public().to_line().into())?;
    answers("unregistered: this daemon's identity is not the one that is registered")?;
    register(&own)?;
    answers("ready\n")
}

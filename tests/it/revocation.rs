//! What is taken away is taken from those who are in, too.

use crate::{Run::Shared, Test};
use anyhow::{Context, Result, ensure};
use e2e::{Session, Stack, User};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Stdio},
};

pub(crate) const TESTS: &[Test] = &[
    ("revocation::a_deleted_key_ends_its_sessions_and_no_other", Shared(key)),
    ("revocation::a_former_members_sessions_end", Shared(member)),
];

/// A session that would go on for ever.
fn open(user: &User, target: &str) -> Result<Child> {
    let mut ssh = user.quiet_ssh();
    let mut child =
        ssh.arg(target).arg("echo in; exec cat").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().context("no output")?).read_line(&mut line)?;
    ensure!(line == "in\n", "{line:?}");
    Ok(child)
}

/// Waits for its end, which has to be ssh's own failure. Returns what it said.
fn ended(mut child: Child) -> Result<String> {
    let mut words = String::new();
    child.stderr.take().context("no error output")?.read_to_string(&mut words)?;
    ensure!(child.wait()?.code() == Some(255), "{words}");
    Ok(words)
}

fn key(world: &Stack) -> Result<()> {
    let (gina, henry) = (world.new_user("gina")?, world.new_user("henry")?);
    for user in ["gina", "henry"] {
        world.edge.operator().put(&format!("/api/operator/workspaces/lighthouse/members/{user}"), &json!({}))?.ok()?;
    }
    let (hers, mut his) = (open(&gina, "user@ws-lighthouse")?, open(&henry, "user@ws-lighthouse")?);
    let keys: Value = world.api(&gina).get("/api/ssh/keys")?.json()?;
    world.api(&gina).delete("/api/ssh/keys", &json!({"publicKeyFingerprint": keys[0]["publicKeyFingerprint"]}))?.ok()?;
    let words = ended(hers)?;
    ensure!(words.contains("the key of this connection was removed or has expired"), "{words}");
    ensure!(his.try_wait()?.is_none(), "somebody else's session ended too");
    drop(his.stdin.take());
    ensure!(his.wait()?.success());
    Ok(())
}

fn member(world: &Stack) -> Result<()> {
    let (iris, place) = (world.new_user("iris")?, "/api/operator/workspaces/lighthouse/members/iris");
    world.edge.operator().put(place, &json!({}))?.ok()?;
    let session = open(&iris, "user@ws-lighthouse")?;
    world.edge.operator().delete(place, &json!({}))?.ok()?;
    ended(session).map(drop)
}

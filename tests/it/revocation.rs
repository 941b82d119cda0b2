//! What is taken away is taken from those who are in, too: on both hops, in words, and from nobody else.

use crate::{
    Run::{Alone, Shared},
    Test,
    audit::events,
};
use anyhow::{Context, Result, ensure};
use drawbridge_shared::native::clock;
use e2e::{SOON, Session, Stack, User, client::hold, within};
use serde_json::{Value, json};
use std::{
    io::Read,
    process::{Child, Command, Stdio},
    time::Duration,
};

pub(crate) const TESTS: &[Test] = &[
    ("revocation::a_deleted_key_ends_its_sessions_and_no_other", Shared(key)),
    ("revocation::another_key_of_the_same_user_lives_on", Shared(other_key)),
    ("revocation::what_a_colleague_takes_back_ends_nobodys_sessions", Shared(colleague)),
    ("revocation::a_former_members_sessions_end", Shared(member)),
    ("revocation::a_deleted_workspaces_sessions_end", Shared(workspace)),
    ("revocation::an_agent_whose_key_is_reset_serves_nobody", Shared(agent_key)),
    ("revocation::a_key_ends_in_its_last_second_and_no_news_is_needed", Shared(expiry)),
    ("revocation::the_jump_says_why_too", Shared(jump)),
    ("revocation::the_agent_decides_by_itself", Alone(agent_alone)),
];

/// What a session of a taken key is told, by the agent or by the jump.
const REMOVED: &str = "the key of this connection was removed";

/// A session that would go on for ever.
fn open(user: &User, target: &str) -> Result<Child> {
    hold(user.quiet_ssh().arg(target))
}

/// Waits for its end, which has to be ssh's own failure and in these words.
fn ended(mut child: Child, words: &str) -> Result<()> {
    let mut said = String::new();
    child.stderr.take().context("no error output")?.read_to_string(&mut said)?;
    ensure!(child.wait()?.code() == Some(255) && said.contains(words), "{said}");
    Ok(())
}

/// Ends a session that has to live still.
fn lives(mut child: Child) -> Result<()> {
    ensure!(child.try_wait()?.is_none(), "somebody else's session ended too");
    drop(child.stdin.take());
    ensure!(child.wait()?.success());
    Ok(())
}

fn join(world: &Stack, user: &str) -> Result<String> {
    let place = format!("/api/operator/workspaces/lighthouse/members/{user}");
    world.edge.operator().put(&place, &json!({}))?.ok()?;
    Ok(place)
}

fn delete_first_key(world: &Stack, user: &User) -> Result<()> {
    let keys: Value = world.api(user).get("/api/ssh/keys")?.json()?;
    world.api(user).delete("/api/ssh/keys", &json!({"publicKeyFingerprint": keys[0]["publicKeyFingerprint"]}))?.ok()
}

fn key(world: &Stack) -> Result<()> {
    let (gina, henry) = (world.new_user("gina")?, world.new_user("henry")?);
    for user in ["gina", "henry"] {
        join(world, user)?;
    }
    let (hers, his) = (open(&gina, "user@ws-lighthouse")?, open(&henry, "user@ws-lighthouse")?);
    delete_first_key(world, &gina)?;
    ended(hers, REMOVED)?;
    lives(his)
}

fn other_key(world: &Stack) -> Result<()> {
    let jill = world.new_user("jill")?;
    join(world, "jill")?;
    let second = world.new_key(&jill, "jill-2")?;
    let line = std::fs::read_to_string(second.key_file.with_extension("pub"))?;
    let added: Value = world.api(&jill).post("/api/ssh/keys", &json!({"publicKey": line}))?.json()?;
    let (first, second) = (open(&jill, "user@ws-lighthouse")?, open(&second, "user@ws-lighthouse")?);
    let gone = json!({"publicKeyFingerprint": added["publicKeyFingerprint"]});
    world.api(&jill).delete("/api/ssh/keys", &gone)?.ok()?;
    ended(second, REMOVED)?;
    lives(first)
}

/// Each has registered the other's key too: whoever of both a login was taken for, one of the two sessions is the other's.
fn colleague(world: &Stack) -> Result<()> {
    let pair = [world.new_user("una")?, world.new_user("quinn")?];
    let [una, quinn] = &pair;
    let mut foreign = Vec::new();
    for (user, other) in [(una, quinn), (quinn, una)] {
        join(world, &user.id)?;
        let line = std::fs::read_to_string(other.key_file.with_extension("pub"))?;
        let added: Value = world.api(user).post("/api/ssh/keys", &json!({"publicKey": line}))?.json()?;
        foreign.push((user, json!({"publicKeyFingerprint": added["publicKeyFingerprint"]})));
    }
    let sessions = [open(una, "user@ws-lighthouse")?, open(quinn, "user@ws-lighthouse")?];
    for (user, theirs) in &foreign {
        world.api(user).delete("/api/ssh/keys", theirs)?.ok()?;
    }
    // Both hops have heard of what was taken back, once they have heard of what came after it.
    let late = world.new_key(una, "una-2")?;
    let line = std::fs::read_to_string(late.key_file.with_extension("pub"))?;
    let added: Value = world.api(una).post("/api/ssh/keys", &json!({"publicKey": line}))?.json()?;
    let session = open(&late, "user@ws-lighthouse")?;
    let gone = json!({"publicKeyFingerprint": added["publicKeyFingerprint"]});
    world.api(una).delete("/api/ssh/keys", &gone)?.ok()?;
    ended(session, REMOVED)?;
    sessions.into_iter().try_for_each(lives)
}

fn member(world: &Stack) -> Result<()> {
    let iris = world.new_user("iris")?;
    let place = join(world, "iris")?;
    let session = open(&iris, "user@ws-lighthouse")?;
    world.edge.operator().delete(&place, &json!({}))?.ok()?;
    ended(session, "no longer a member of this workspace")
}

/// Its agent has no document any more, and is no evidence: the daemon ends what leads there.
fn workspace(world: &Stack) -> Result<()> {
    let kate = world.new_user("kate")?;
    let brief = world.new_workspace("brief", "kate")?;
    let session = open(&kate, "user@ws-brief")?;
    world.edge.operator().delete("/api/operator/workspaces/brief", &json!({}))?.ok()?;
    ended(session, "")?;
    drop(brief);
    Ok(())
}

/// The agent is there and willing, and is not the workspace's any more: what it serves ends, and only the next one serves again.
fn agent_key(world: &Stack) -> Result<()> {
    let owen = world.new_user("owen")?;
    let former = world.new_workspace("reset", "owen")?;
    let session = open(&owen, "user@ws-reset")?;
    let operator = world.edge.operator();
    operator.delete("/api/operator/workspaces/reset/agent-key", &json!({}))?.ok()?;
    ended(session, "")?;
    let refused = owen.quiet_ssh().args(["-n", "user@ws-reset", "echo served"]).output()?;
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(refused.status.code() == Some(255) && said.contains("workspace reset is offline"), "{refused:?}");
    let later = world.newcomer(&former)?;
    let served = owen.quiet_ssh().args(["-n", "-o", "StrictHostKeyChecking=no", "user@reset", "echo $PPID"]).output()?;
    ensure!(served.stdout == format!("{}\n", later.agent.pid()).as_bytes(), "{served:?}");
    drop(former);
    Ok(())
}

fn expiry(world: &Stack) -> Result<()> {
    let liam = world.new_stranger("liam")?;
    join(world, "liam")?;
    let end = clock::now().after(Duration::from_secs(5));
    let line = std::fs::read_to_string(liam.key_file.with_extension("pub"))?;
    world.api(&liam).post("/api/ssh/keys", &json!({"publicKey": line, "expiresAt": end}))?.ok()?;
    let session = open(&liam, "user@ws-lighthouse")?;
    ended(session, "the key of this connection has expired")?;
    let late = clock::now();
    ensure!(late >= end, "{late} is before {end}");
    ensure!(late.since(end) < SOON, "it ended {late}, long after {end}");
    Ok(())
}

/// An outer connection with nothing in it.
fn jump(world: &Stack) -> Result<()> {
    let mona = world.new_user("mona")?;
    let mut ssh = Command::new("ssh");
    ssh.arg("-F").arg(&mona.ssh_config).args(["-N", "-o", "BatchMode=yes", "jump"]);
    let child = ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    within(SOON, "the connection stands", || Ok(!events(world, &mona, "login")?.is_empty()))?;
    delete_first_key(world, &mona)?;
    ended(child, REMOVED)
}

/// With the daemon stopped in its tracks, the agent still ends its side: nobody else tells it to.
fn agent_alone(world: &mut Stack) -> Result<()> {
    let nora = world.new_user("nora")?;
    join(world, "nora")?;
    let session = open(&nora, "user@ws-lighthouse")?;
    world.daemon.process.signal(rustix::process::Signal::STOP);
    let told = delete_first_key(world, &nora).and_then(|()| {
        let log = world.dir().join("logs/agent-lighthouse.log");
        within(SOON, "the agent revokes by its own document", || {
            Ok(std::fs::read_to_string(&log)?.lines().any(|line| line.contains("revoked") && line.contains("nora")))
        })
    });
    world.daemon.process.signal(rustix::process::Signal::CONT);
    told?;
    ended(session, REMOVED)
}

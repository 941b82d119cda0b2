//! Who gets in, by which name, and who does not.

use crate::{Run::Shared, Test};
use anyhow::{Result, ensure};
use e2e::{SOON, Session, Stack, within};
use serde_json::json;

pub(crate) const TESTS: &[Test] = &[
    ("login::by_name", Shared(by_name)),
    ("login::by_integer", Shared(by_integer)),
    ("login::by_name_with_domain", Shared(by_name_with_domain)),
    ("login::over_a_proxy_command", Shared(over_a_proxy_command)),
    ("login::as_the_account_and_as_nobody_else", Shared(as_the_account_and_as_nobody_else)),
    ("login::somebody_elses_and_unknown_workspaces_are_refused_alike", Shared(refused_alike)),
    ("login::an_unregistered_key_is_refused", Shared(unregistered)),
    ("login::a_key_works_at_once_and_is_refused_once_deleted", Shared(at_once_and_no_more)),
    ("login::a_member_gets_in_at_once_and_out_again", Shared(members)),
    ("login::a_key_of_two_users_opens_what_either_may_enter", Shared(one_key_two_users)),
    ("login::many_keys_in_the_agent_do_no_harm", Shared(many_keys)),
    ("login::a_client_without_a_common_algorithm_reads_what_there_is", Shared(nothing_in_common)),
];

fn by_name(world: &Stack) -> Result<()> {
    world.user("alice")?.run("user@ws-796636", "echo in")?.printed("in\n")
}

/// ssh sends 0.12.39.220 for it.
fn by_integer(world: &Stack) -> Result<()> {
    world.user("alice")?.run("user@796636", "echo in")?.printed("in\n")
}

fn by_name_with_domain(world: &Stack) -> Result<()> {
    world.user("bob")?.run("user@lighthouse.local.drawbridge.test", "echo in")?.printed("in\n")
}

fn over_a_proxy_command(world: &Stack) -> Result<()> {
    let alice = world.user("alice")?;
    let proxy = format!("ProxyCommand=ssh -F \"{}\" -W %h:%p jump", alice.ssh_config.display());
    let mut ssh = std::process::Command::new("ssh");
    ssh.arg("-F").arg(&alice.ssh_config).args(["-n", "-o", "BatchMode=yes", "-o", &proxy, "user@796636", "echo in"]);
    e2e::client::outcome(&mut ssh)?.printed("in\n")
}

fn as_the_account_and_as_nobody_else(world: &Stack) -> Result<()> {
    let alice = world.user("alice")?;
    let account = alice.run("user@ws-796636", "id -un")?.text();
    alice.run(&format!("{}@ws-796636", account.trim()), "echo in")?.printed("in\n")?;
    alice.run("mallory@ws-796636", "echo in")?.refused("there is no login as 'mallory' here")
}

fn refused_alike(world: &Stack) -> Result<()> {
    let bob = world.user("bob")?;
    for workspace in ["796636", "nowhere"] {
        let words = format!("no workspace {workspace} for this key: it does not exist, or you are not a member of it");
        bob.run(&format!("user@ws-{workspace}"), "true")?.refused(&words)?;
    }
    Ok(())
}

fn unregistered(world: &Stack) -> Result<()> {
    let stranger = world.new_stranger("stranger")?;
    stranger.run("user@ws-796636", "true")?.refused("Permission denied (publickey).")
}

fn at_once_and_no_more(world: &Stack) -> Result<()> {
    let carol = world.new_user("carol")?;
    world.edge.operator().put("/api/operator/workspaces/796636/members/carol", &json!({}))?.ok()?;
    carol.run("user@ws-796636", "echo in")?.printed("in\n")?;
    let keys: serde_json::Value = world.api(&carol).get("/api/ssh/keys")?.json()?;
    let answer = world.api(&carol).delete("/api/ssh/keys", &json!({"publicKeyFingerprint": keys[0]["publicKeyFingerprint"]}))?;
    ensure!(answer.status == 204, "{answer:?}");
    within(SOON, "the deleted key is refused", || Ok(carol.run("user@ws-796636", "true")?.err.contains("Permission denied")))
}

fn members(world: &Stack) -> Result<()> {
    let (dave, member) = (world.new_user("dave")?, "/api/operator/workspaces/lighthouse/members/dave");
    dave.run("user@ws-lighthouse", "true")?.refused("no workspace lighthouse for this key")?;
    world.edge.operator().put(member, &json!({}))?.ok()?;
    dave.run("user@ws-lighthouse", "echo in")?.printed("in\n")?;
    world.edge.operator().delete(member, &json!({}))?.ok()?;
    within(SOON, "the former member is refused", || {
        Ok(dave.run("user@ws-lighthouse", "true")?.err.contains("no workspace lighthouse"))
    })
}

/// One public key may belong to two accounts; a stranger's claim to it takes nothing from its owner.
fn one_key_two_users(world: &Stack) -> Result<()> {
    let (erin, frank) = (world.new_user("erin")?, world.new_stranger("frank")?);
    let line = std::fs::read_to_string(erin.key_file.with_extension("pub"))?;
    world.api(&frank).post("/api/ssh/keys", &json!({"publicKey": line}))?.ok()?;
    world.edge.operator().put("/api/operator/workspaces/796636/members/erin", &json!({}))?.ok()?;
    world.edge.operator().put("/api/operator/workspaces/lighthouse/members/frank", &json!({}))?.ok()?;
    erin.run("user@ws-796636", "echo in")?.printed("in\n")?;
    erin.run("user@ws-lighthouse", "echo in")?.printed("in\n")
}

fn many_keys(world: &Stack) -> Result<()> {
    let alice = world.user("alice")?;
    let folder = tempfile::tempdir()?;
    let mut config = std::fs::read_to_string(&alice.ssh_config)?;
    let decoys: String = (0..12)
        .map(|n| {
            xtask::stack::keygen(&folder.path().join(n.to_string()), "decoy")
                .map(|file| format!("  IdentityFile {}\n", file.display()))
        })
        .collect::<Result<_>>()?;
    config = config.replacen("Host *\n", &format!("Host *\n{decoys}"), 1);
    let file = folder.path().join("config");
    std::fs::write(&file, config)?;
    let mut ssh = std::process::Command::new("ssh");
    ssh.arg("-F").arg(&file).args(["-n", "-o", "BatchMode=yes", "-J", "jump", "user@ws-796636", "echo in"]);
    e2e::client::outcome(&mut ssh)?.printed("in\n")
}

/// The workspace's own list, which is the last that its end of the connection says.
fn nothing_in_common(world: &Stack) -> Result<()> {
    let mut ssh = world.user("alice")?.ssh();
    ssh.args(["-n", "-o", "BatchMode=yes", "-o", "KexAlgorithms=ecdh-sha2-nistp256", "user@ws-796636", "echo in"]);
    e2e::client::outcome(&mut ssh)?.refused("no matching key exchange method found. Their offer: mlkem768x25519-sha256")
}

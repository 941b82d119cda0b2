//! Who may not come in learns nothing by trying: one refusal, to the byte, whatever was wrong.

use crate::{Run::Shared, Test};
use anyhow::{Context, Result, ensure};
use drawbridge_shared::native::clock;
use e2e::{
    SOON, Stack, User,
    client::outcome,
    raw::{Message, Raw, message, number},
    within,
};
use serde_json::{Value, json};
use ssh_key::PrivateKey;
use std::{fs, time::Duration};
use xtask::stack::JUMP;

pub(crate) const TESTS: &[Test] = &[
    ("uniform::every_login_is_refused_alike", Shared(logins)),
    ("uniform::a_strangers_workspace_is_as_one_that_is_not", Shared(workspaces)),
    ("uniform::a_stranger_learns_no_login_name", Shared(names)),
];

/// `USERAUTH_FAILURE`: public keys may go on, nothing was right.
fn refusal() -> Vec<u8> {
    Message::new(number::USERAUTH_FAILURE).string("publickey").flag(false).bytes()
}

/// `user`'s key.
pub(super) fn key(user: &User) -> Result<PrivateKey> {
    Ok(PrivateKey::from_openssh(fs::read_to_string(&user.key_file)?)?)
}

/// A connection that may ask to log in.
pub(super) fn asking(world: &Stack) -> Result<Raw> {
    let mut raw = Raw::connect(([127, 0, 0, 1], world.daemon.port).into())?;
    raw.meet()?;
    raw.begin_login()?;
    Ok(raw)
}

/// An unsigned question whether the key of `blob` is worth a signature.
pub(super) fn probe(user: &str, blob: &[u8]) -> Message {
    by(user, "publickey").flag(false).string("ssh-ed25519").string(blob)
}

fn by(user: &str, method: &str) -> Message {
    Message::new(number::USERAUTH_REQUEST).string(user).string("ssh-connection").string(method)
}

/// What the daemon answers to one request.
fn answer(world: &Stack, request: impl Fn(&Raw) -> Result<Message>) -> Result<Vec<u8>> {
    let mut raw = asking(world)?;
    let request = request(&raw)?;
    raw.send(request)?;
    match raw.hear()? {
        e2e::raw::Heard::Packet(packet) => Ok(packet),
        other => anyhow::bail!("no answer: {other:?}"),
    }
}

/// A user whose key was known, and is no more.
fn former(world: &Stack) -> Result<User> {
    let user = world.new_user("uniform-former")?;
    let keys: Value = world.api(&user).get("/api/ssh/keys")?.json()?;
    world.api(&user).delete("/api/ssh/keys", &json!({"publicKeyFingerprint": keys[0]["publicKeyFingerprint"]}))?.ok()?;
    Ok(user)
}

/// One whose key ends in a moment.
fn expiring(world: &Stack) -> Result<User> {
    let user = world.new_stranger("uniform-expired")?;
    let line = fs::read_to_string(user.key_file.with_extension("pub"))?;
    let end = clock::now().after(Duration::from_secs(2));
    world.api(&user).post("/api/ssh/keys", &json!({"publicKey": line, "expiresAt": end}))?.ok()?;
    Ok(user)
}

fn logins(world: &Stack) -> Result<()> {
    let (expiring, former) = (expiring(world)?, former(world)?);
    let (never, bob) = (world.new_stranger("uniform-never")?, key(world.user("bob")?)?);
    let long = "a".repeat(1000);
    for user in [&never, &former, &expiring] {
        let key = key(user)?;
        let blob = key.public_key().to_bytes()?;
        let refused = || Ok(answer(world, |_| Ok(probe("alice", &blob)))? == refusal());
        within(SOON, "the key is refused", refused)?;
        for name in ["alice", "root", "", &long] {
            let signed = answer(world, |raw| raw.signed(name, &key, &key, &raw.session))?;
            ensure!(signed == refusal(), "{} as {name}: {signed:?}", user.id);
        }
        let forged = answer(world, |raw| raw.signed("alice", &key, &bob, &raw.session))?;
        ensure!(forged == refusal(), "{}: {forged:?}", user.id);
    }
    let forged = answer(world, |raw| raw.signed("bob", &bob, &key(&never)?, &raw.session))?;
    ensure!(forged == refusal(), "{forged:?}");
    for name in ["alice", "root"] {
        let password = answer(world, |_| Ok(by(name, "password").flag(false).string("secret")))?;
        let none = answer(world, |_| Ok(by(name, "none")))?;
        ensure!(password == refusal() && none == refusal(), "{password:?} {none:?}");
    }
    Ok(())
}

/// Whether it is there, online, offline, asleep or elsewhere: its members alone hear that.
fn workspaces(world: &Stack) -> Result<()> {
    let api = world.edge.operator();
    api.put("/api/operator/regions/uniform-far", &json!({"hosts": ["uniform.example.com"], "port": 22}))?.ok()?;
    for (id, region) in [("uniform-offline", "local"), ("uniform-asleep", "local"), ("uniform-moved", "uniform-far")] {
        api.put(&format!("/api/operator/workspaces/{id}"), &json!({"region": region}))?.ok()?;
        api.put(&format!("/api/operator/workspaces/{id}/members/bob"), &json!({}))?.ok()?;
    }
    api.call("PUT", "/api/operator/workspaces/uniform-asleep/sleep")?.ok()?;
    let mut raw = Raw::connect(([127, 0, 0, 1], world.daemon.port).into())?;
    raw.log_in("alice", &key(world.user("alice")?)?)?;
    for (ours, id) in
        ["uniform-nowhere", "lighthouse", "uniform-offline", "uniform-asleep", "uniform-moved"].into_iter().enumerate()
    {
        raw.send(message::direct(ours as u32, id, 22))?;
        let (_, code, words) = message::failure(&raw.expect(number::CHANNEL_OPEN_FAILURE)?)?;
        let uniform = format!("no workspace {id} for this key: it does not exist, or you are not a member of it");
        ensure!(code == 1 && words == uniform, "{id}: {code} {words}");
    }
    Ok(())
}

/// The agent's refusal of a key that it does not know, under names that are a login and under others.
fn names(world: &Stack) -> Result<()> {
    let stranger = world.new_stranger("uniform-inside")?;
    let way = format!("ProxyCommand=ssh -F '{}' -W %h:%p {JUMP}", world.user("alice")?.ssh_config.display());
    let refused = |name: &str| {
        let mut ssh = std::process::Command::new("ssh");
        ssh.arg("-F").arg(&stranger.ssh_config).args(["-n", "-o", "BatchMode=yes", "-o", &way]);
        let refused = outcome(ssh.arg(format!("{name}@796636")).arg("true"))?;
        ensure!(refused.status == Some(255), "{refused:?}");
        let line = refused.err.lines().find(|line| line.contains("Permission denied"));
        Ok(line.context("no refusal")?.replace(name, "NAME"))
    };
    let known = refused("user")?;
    for name in ["root", "nobody-of-that-name"] {
        let other = refused(name)?;
        ensure!(other == known, "{other:?} is not {known:?}");
    }
    Ok(())
}

//! The jump host is a way through and nothing else.

use crate::{
    Run::{Alone, Shared},
    Test,
};
use anyhow::{Context, Result, ensure};
use e2e::{
    SOON, Session, Stack, answered,
    client::outcome,
    raw::{Raw, message, number},
    within,
};
use ssh_key::PrivateKey;
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::net::UnixListener,
    process::{Command, Stdio},
};

pub(crate) const TESTS: &[Test] = &[
    ("jump::greets_with_what_to_type", Shared(greets)),
    ("jump::greets_a_terminal_as_a_terminal_wants_it", Shared(greets_a_terminal)),
    ("jump::runs_no_commands_and_has_no_files", Shared(no_commands)),
    ("jump::serves_nothing_else_and_says_so", Shared(nothing_else)),
    ("jump::has_no_sockets_and_says_so", Shared(no_sockets)),
    ("jump::so_many_channels_and_no_more", Shared(channels)),
    ("jump::dials_no_address", Shared(no_address)),
    ("jump::leads_to_port_22_only", Shared(one_port)),
    ("jump::refuses_remote_forwards", Shared(no_remote_forwards)),
    ("jump::names_an_offline_workspace_to_its_members", Shared(offline)),
    ("jump::tells_members_that_a_workspace_is_asleep", Shared(asleep)),
    ("jump::names_a_moved_workspace_to_its_members", Shared(moved)),
    ("jump::tells_since_when_an_agent_is_gone", Alone(gone)),
];

/// Channels that one connection may have open.
const CHANNELS: u32 = 128;

/// `ssh <options> jump <arguments>` as alice.
fn jump(world: &Stack, arguments: &[&str]) -> Result<Command> {
    let mut ssh = Command::new("ssh");
    ssh.arg("-F").arg(&world.user("alice")?.ssh_config).args(["-n", "-o", "BatchMode=yes"]).args(arguments);
    Ok(ssh)
}

/// The line of the greeting that says how to reach `workspace`.
fn line_of(greeting: &str, workspace: &str) -> Result<String> {
    let target = format!("user@{workspace} ");
    let line = greeting.lines().find(|line| line.contains(&target));
    Ok(line.with_context(|| format!("{workspace} is not in {greeting:?}"))?.to_owned())
}

/// The greeting follows the edge's snapshots, which follow what the edge was told.
fn soon_told(world: &Stack, workspace: &str, words: &str) -> Result<()> {
    let mut last = String::new();
    within(SOON, words, || {
        last = outcome(&mut jump(world, &["jump"])?)?.text();
        Ok(line_of(&last, workspace).is_ok_and(|line| line.contains(words)))
    })
    .context(last)
}

fn greets(world: &Stack) -> Result<()> {
    for arguments in [&["jump"][..], &["-T", "jump"]] {
        let greeted = outcome(&mut jump(world, arguments)?)?;
        ensure!(greeted.status == Some(0), "{greeted:?}");
        let text = greeted.text();
        ensure!(text.starts_with("Hello alice. Your workspaces:\n") && !text.contains('\r'), "{text:?}");
        let line = line_of(&text, "796636")?;
        ensure!(line.starts_with("  ssh -J local.drawbridge.test user@796636 ") && line.ends_with(" online"), "{line:?}");
        ensure!(!text.contains("lighthouse"), "that is bob's: {text:?}");
    }
    Ok(())
}

fn greets_a_terminal(world: &Stack) -> Result<()> {
    let greeted = outcome(&mut jump(world, &["-tt", "jump"])?)?;
    ensure!(greeted.status == Some(0), "{greeted:?}");
    let text = greeted.text();
    ensure!(text.lines().count() == text.matches("\r\n").count(), "{text:?}");
    ensure!(line_of(&text, "796636")?.trim_end().ends_with(" online"), "{text:?}");
    Ok(())
}

fn no_commands(world: &Stack) -> Result<()> {
    for (arguments, what) in [(&["jump", "id"][..], "commands"), (&["-s", "jump", "sftp"], "files")] {
        let refused = outcome(&mut jump(world, arguments)?)?;
        let words = format!("this is a jump host and has no {what}: use `ssh -J <this host> user@<workspaceId>`\n");
        ensure!(refused.status == Some(1) && refused.out.is_empty() && refused.err.contains(&words), "{refused:?}");
    }
    Ok(())
}

/// None of it keeps the greeting from coming; `ssh -v` shows the words.
fn nothing_else(world: &Stack) -> Result<()> {
    let socket = UnixListener::bind(world.dir().join("canary.sock"))?;
    socket.set_nonblocking(true)?;
    let path = world.dir().join("canary.sock");
    let forward = format!("127.0.0.1:0:{}", path.display());
    let mut ssh = jump(world, &["-v", "-A", "-X", "-R", &forward, "jump"])?;
    let said = outcome(ssh.env("DISPLAY", ":9").env("SSH_AUTH_SOCK", &path))?;
    ensure!(said.status == Some(0) && said.text().starts_with("Hello alice."), "{said:?}");
    ensure!(said.err.contains("this is a jump host and has no remote forwarding"), "{said:?}");
    let tunnel = outcome(&mut jump(world, &["-w", "any", "-o", "ExitOnForwardFailure=yes", "jump"])?)?;
    ensure!(tunnel.status != Some(0) || tunnel.text().starts_with("Hello alice."), "{tunnel:?}");
    ensure!(socket.accept().is_err(), "the daemon reached a socket");
    fs::remove_file(path)?;
    Ok(())
}

/// `ssh -L near:/far`: the words are those of the channel that the first caller of the near end asked for.
fn no_sockets(world: &Stack) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let [near, far] = ["near", "far"].map(|name| folder.path().join(name));
    let canary = UnixListener::bind(&far)?;
    canary.set_nonblocking(true)?;
    let forward = format!("{}:{}", near.display(), far.display());
    let mut ssh = jump(world, &["-N", "-o", "ExitOnForwardFailure=yes", "-L", &forward, "jump"])?;
    let mut child = ssh.stderr(Stdio::piped()).spawn()?;
    let said = answered(&near)
        .and_then(|mut near| Ok(near.read_to_end(&mut Vec::new())?))
        .and_then(|_| Ok(BufReader::new(child.stderr.take().context("no error output")?).lines().next().transpose()?));
    child.kill()?;
    child.wait()?;
    let said = said?.unwrap_or_default();
    ensure!(said.contains("open failed") && said.contains("this is a jump host and has no sockets"), "{said}");
    ensure!(canary.accept().is_err(), "the daemon reached a socket");
    Ok(())
}

fn channels(world: &Stack) -> Result<()> {
    let key = PrivateKey::from_openssh(fs::read_to_string(&world.user("alice")?.key_file)?)?;
    let mut raw = Raw::connect(([127, 0, 0, 1], world.daemon.port).into())?;
    raw.log_in("alice", &key)?;
    let first = raw.session_channel(0)?;
    for ours in 1..CHANNELS {
        raw.session_channel(ours)?;
    }
    raw.open("session", CHANNELS, |open| open)?;
    let (_, code, words) = message::failure(&raw.expect(number::CHANNEL_OPEN_FAILURE)?)?;
    ensure!(code == 4 && words == "too many connections over this one; open another `ssh -J`", "{code} {words}");
    raw.send(message::about(number::CHANNEL_CLOSE, first))?;
    raw.expect(number::CHANNEL_CLOSE)?;
    raw.session_channel(CHANNELS).map(drop)
}

/// A listener on this machine is never reached: an address is read back as a workspace's number.
fn no_address(world: &Stack) -> Result<()> {
    let canary = std::net::TcpListener::bind("127.0.0.1:22").or_else(|_| std::net::TcpListener::bind("127.0.0.1:0"))?;
    canary.set_nonblocking(true)?;
    outcome(&mut jump(world, &["-W", "127.0.0.1:22", "jump"])?)?.refused("no workspace 2130706433 for this key")?;
    for target in ["localhost.:22", "[::1]:22", "169.254.169.254.nip.io:22"] {
        outcome(&mut jump(world, &["-W", target, "jump"])?)?.refused("a target is a workspace id")?;
    }
    ensure!(canary.accept().is_err(), "the daemon dialled an address");
    Ok(())
}

fn one_port(world: &Stack) -> Result<()> {
    outcome(&mut jump(world, &["-W", "796636:80", "jump"])?)?.refused("only port 22 leads to a workspace")
}

fn no_remote_forwards(world: &Stack) -> Result<()> {
    let refused = outcome(&mut jump(world, &["-N", "-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1", "jump"])?)?;
    refused.refused("remote port forwarding failed")
}

fn offline(world: &Stack) -> Result<()> {
    let api = world.edge.operator();
    api.put("/api/operator/workspaces/harbour", &serde_json::json!({"region": "local"}))?.ok()?;
    api.put("/api/operator/workspaces/harbour/members/alice", &serde_json::json!({}))?.ok()?;
    outcome(&mut jump(world, &["-W", "harbour:22", "jump"])?)?.refused("workspace harbour is offline: its agent is not connected")
}

/// What the platform says chooses words; a workspace that is there is entered.
fn asleep(world: &Stack) -> Result<()> {
    let api = world.edge.operator();
    api.put("/api/operator/workspaces/marina", &serde_json::json!({"region": "local"}))?.ok()?;
    api.put("/api/operator/workspaces/marina/members/alice", &serde_json::json!({}))?.ok()?;
    let both = |method| {
        let call = |id| api.call(method, &format!("/api/operator/workspaces/{id}/sleep"))?.ok();
        ["796636", "marina"].into_iter().try_for_each(call)
    };
    both("PUT")?;
    let told = told_asleep(world);
    // The others enter 796636 too.
    both("DELETE")?;
    told?;
    soon_told(world, "marina", "offline")
}

fn told_asleep(world: &Stack) -> Result<()> {
    soon_told(world, "marina", "asleep: wake it on your platform")?;
    outcome(&mut jump(world, &["-W", "marina:22", "jump"])?)?.refused("workspace marina is asleep: wake it on your platform")?;
    soon_told(world, "796636", "online")?;
    world.user("alice")?.run("user@796636", "echo in")?.printed("in\n")
}

fn moved(world: &Stack) -> Result<()> {
    let api = world.edge.operator();
    api.put("/api/operator/regions/far", &serde_json::json!({"hosts": ["far.example.com"], "port": 22}))?.ok()?;
    api.put("/api/operator/workspaces/lagoon", &serde_json::json!({"region": "far"}))?.ok()?;
    api.put("/api/operator/workspaces/lagoon/members/alice", &serde_json::json!({}))?.ok()?;
    outcome(&mut jump(world, &["-W", "lagoon:22", "jump"])?)?.refused("workspace lagoon has moved to far")?;
    let line = line_of(&outcome(&mut jump(world, &["jump"])?)?.text(), "lagoon")?;
    ensure!(line.ends_with("in far: use the jump host of that region"), "{line:?}");
    Ok(())
}

fn gone(world: &mut Stack) -> Result<()> {
    world.workspace("796636")?.agent.stop();
    let noticed = soon_told(world, "796636", " offline since 20");
    let refused = outcome(&mut jump(world, &["-W", "796636:22", "jump"])?);
    world.restart_agent("796636")?;
    noticed?;
    refused?.refused("workspace 796636 is offline since 20")?;
    soon_told(world, "796636", " online")
}

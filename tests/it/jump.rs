//! The jump host is a way through and nothing else.

use crate::{
    Run::{Alone, Shared},
    Test,
};
use anyhow::{Context, Result, ensure};
use e2e::{SOON, Stack, client::outcome, within};
use std::process::Command;

pub(crate) const TESTS: &[Test] = &[
    ("jump::greets_with_what_to_type", Shared(greets)),
    ("jump::greets_a_terminal_as_a_terminal_wants_it", Shared(greets_a_terminal)),
    ("jump::runs_no_commands_and_has_no_files", Shared(no_commands)),
    ("jump::serves_nothing_else_and_says_so", Shared(nothing_else)),
    ("jump::dials_no_address", Shared(no_address)),
    ("jump::leads_to_port_22_only", Shared(one_port)),
    ("jump::refuses_remote_forwards", Shared(no_remote_forwards)),
    ("jump::names_an_offline_workspace_to_its_members", Shared(offline)),
    ("jump::names_a_moved_workspace_to_its_members", Shared(moved)),
    ("jump::tells_since_when_an_agent_is_gone", Alone(gone)),
];

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
    let socket = std::os::unix::net::UnixListener::bind(world.dir().join("canary.sock"))?;
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
    std::fs::remove_file(path)?;
    Ok(())
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
    let line = |world: &Stack| line_of(&outcome(&mut jump(world, &["jump"])?)?.text(), "796636");
    let noticed = within(SOON, "the agent is gone", || Ok(line(world)?.contains(" offline since 20")));
    let refused = outcome(&mut jump(world, &["-W", "796636:22", "jump"])?);
    world.restart_agent("796636")?;
    noticed?;
    refused?.refused("workspace 796636 is offline since 20")?;
    within(SOON, "it is online again", || Ok(line(world)?.ends_with(" online")))
}

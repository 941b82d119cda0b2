//! The jump host is a way through and nothing else.

use crate::{Run::Shared, Test};
use anyhow::Result;
use e2e::{Stack, client::outcome};
use std::process::Command;

pub(crate) const TESTS: &[Test] = &[
    ("jump::has_no_shell_of_its_own", Shared(no_shell)),
    ("jump::dials_no_address", Shared(no_address)),
    ("jump::leads_to_port_22_only", Shared(one_port)),
    ("jump::refuses_remote_forwards", Shared(no_remote_forwards)),
    ("jump::names_an_offline_workspace_to_its_members", Shared(offline)),
];

/// `ssh <options> jump <arguments>` as alice.
fn jump(world: &Stack, arguments: &[&str]) -> Result<Command> {
    let mut ssh = Command::new("ssh");
    ssh.arg("-F").arg(&world.user("alice")?.ssh_config).args(["-n", "-o", "BatchMode=yes"]).args(arguments);
    Ok(ssh)
}

fn no_shell(world: &Stack) -> Result<()> {
    for arguments in [&["jump"][..], &["jump", "id"], &["-s", "jump", "sftp"]] {
        outcome(&mut jump(world, arguments)?)?
            .refused("this is a jump host and has no shell, commands or files: use `ssh -J <this host> user@<workspaceId>`")?;
    }
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
    anyhow::ensure!(canary.accept().is_err(), "the daemon dialled an address");
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

//! Each kind can be switched off; the refusal names the option, and the session goes on.

use super::{Peer, listening};
use crate::harness::{Workspace, text, until};
use drawbridge_agent::ssh::{Directions, ForwardPolicy, GatewayPorts};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[tokio::test(flavor = "multi_thread")]
async fn local_forwards_can_be_off() {
    let workspace = Workspace::forwarding(ForwardPolicy { tcp: Directions::Remote, ..ForwardPolicy::default() }).await;
    let echo = Peer::echo().await;
    let target = format!("127.0.0.1:{}", echo.port);
    let output = workspace.ssh(&["-oLogLevel=INFO", "-W", &target]).arg("ws").output().await.unwrap();
    let told = "administratively prohibited: connections through this workspace (-L, -D, -W) are off: its agent runs with \
                --allow-tcp-forwarding remote";
    assert!(text(&output.stderr).contains(told), "{}", text(&output.stderr));
    assert!(asked_for(&workspace, &["-R", &format!("0:{target}")]).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn remote_forwards_can_be_off() {
    let workspace = Workspace::forwarding(ForwardPolicy { tcp: Directions::Local, ..ForwardPolicy::default() }).await;
    let told = asked_for(&workspace, &["-R", "0:127.0.0.1:9"]).await.unwrap_err();
    assert!(told.contains("--allow-tcp-forwarding local"), "{told}");
    assert_eq!(text(&workspace.run_with(&["-R", "0:127.0.0.1:9"], "echo on", &[]).await.stdout), "on\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_can_be_off() {
    let workspace = Workspace::forwarding(ForwardPolicy { stream_local: Directions::No, ..ForwardPolicy::default() }).await;
    let there = format!("{}:127.0.0.1:9", workspace.home("there").display());
    let told = asked_for(&workspace, &["-R", &there]).await.unwrap_err();
    assert!(told.contains("--allow-stream-local-forwarding no"), "{told}");
    assert!(!workspace.home("there").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_can_be_off() {
    let workspace = Workspace::forwarding(ForwardPolicy { agent: false, ..ForwardPolicy::default() }).await;
    let (_agent, socket) = super::agent::agent(&workspace).await;
    let output = workspace.ssh(&["-v", "-A", "ws", "echo [$SSH_AUTH_SOCK]"]).env("SSH_AUTH_SOCK", socket).output().await.unwrap();
    assert_eq!(text(&output.stdout), "[]\n");
    assert!(text(&output.stderr).contains("--allow-agent-forwarding no"), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn x11_is_refused_in_words() {
    let workspace = Workspace::start().await;
    let mut command = workspace.ssh(&["-v", "-Y", "ws", "echo [$DISPLAY]"]);
    let output = command.env("DISPLAY", "127.0.0.1:77").output().await.unwrap();
    assert_eq!(text(&output.stdout), "[]\n");
    assert!(text(&output.stderr).contains("X11 is not forwarded here"), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_listen_where_the_policy_says() {
    let [v4, v6] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let [all4, all6] = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let cases = [
        (GatewayPorts::No, "", vec![v4, v6]),
        (GatewayPorts::No, "*:", vec![v4, v6]),
        (GatewayPorts::No, "127.0.0.1:", vec![v4]),
        (GatewayPorts::Yes, "", vec![all4, all6]),
        (GatewayPorts::ClientSpecified, "", vec![v4, v6]),
        (GatewayPorts::ClientSpecified, "0.0.0.0:", vec![all4]),
        (GatewayPorts::ClientSpecified, "*:", vec![all4, all6]),
    ];
    for (gateway, address, expected) in cases {
        let workspace = Workspace::forwarding(ForwardPolicy { gateway, ..ForwardPolicy::default() }).await;
        let _master = workspace.master().await;
        let told = workspace.control("forward", &["-R", &format!("{address}0:127.0.0.1:9")]).await;
        let port = text(&told.stdout).trim().parse().unwrap();
        let mut bound = listening(port);
        bound.sort();
        assert_eq!(bound, expected, "{gateway:?} {address}");
        workspace.stop().await;
        until("the port's end", || listening(port).is_empty()).await;
    }
}

/// Whether a session with `options` starts, or what `ssh -v` says.
async fn asked_for(workspace: &Workspace, options: &[&str]) -> Result<(), String> {
    let options = [&["-v", "-oExitOnForwardFailure=yes"], options].concat();
    let output = workspace.run_with(&options, "true", &[]).await;
    if output.status.success() { Ok(()) } else { Err(text(&output.stderr).to_owned()) }
}

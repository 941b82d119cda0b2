//! What is not served is refused, in words where SSH has a place for them.

use crate::harness::{NAME, Workspace, text};
use std::process::Stdio;
use tokio::{io::AsyncReadExt, net::TcpStream};

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused() {
    let workspace = Workspace::start().await;
    let stranger = format!("-oIdentityFile={}", workspace.path("stranger").display());
    let output = workspace.ssh(&["-F", "none", &stranger, "-oBatchMode=yes"]).args(target(&workspace)).output().await.unwrap();
    assert_eq!(output.status.code(), Some(255));
    assert!(text(&output.stderr).contains("Permission denied (publickey)"), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_are_not_offered() {
    let workspace = Workspace::start().await;
    let output = workspace.run_with(&["-oPreferredAuthentications=password,keyboard-interactive", "-v"], "true", &[]).await;
    assert_eq!(output.status.code(), Some(255));
    assert!(text(&output.stderr).contains("Authentications that can continue: publickey\r\n"), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_account_answers_to_user_and_to_no_other_name() {
    let workspace = Workspace::start().await;
    assert_eq!(text(&workspace.run_with(&["-luser"], "echo $USER", &[]).await.stdout), format!("{NAME}\n"));
    let output = workspace.run_with(&["-lroot"], "true", &[]).await;
    assert_eq!(output.status.code(), Some(255));
    let told = format!("there is no login as 'root' here: use '{NAME}' or 'user'");
    assert!(text(&output.stderr).contains(&told), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_subsystem_is_refused() {
    let workspace = Workspace::start().await;
    let output = workspace.run_with(&["-s"], "nosuch", &[]).await;
    assert_eq!(output.status.code(), Some(255));
    assert!(text(&output.stderr).contains("subsystem request failed on channel 0"), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_forwarding_leaves_the_session_alone() {
    let workspace = Workspace::start().await;
    let forward = format!("{}:/nonexistent", workspace.path("socket").display());
    let line = "sleep 0.5; echo still here";
    let child = workspace.ssh(&["-A", "-L", &forward]).arg("ws").arg(line).stderr(Stdio::null()).spawn().unwrap();
    crate::harness::until("a forwarded socket", || workspace.path("socket").exists()).await;
    let mut refused = tokio::net::UnixStream::connect(workspace.path("socket")).await.unwrap();
    assert_eq!(refused.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(text(&crate::harness::ends(child).await.stdout), "still here\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_names_itself() {
    let workspace = Workspace::start().await;
    let mut stream = TcpStream::connect(("127.0.0.1", workspace.port())).await.unwrap();
    let mut line = [0; 31];
    stream.read_exact(&mut line).await.unwrap();
    assert_eq!(text(&line), "SSH-2.0-OpenSSH_9.2 Drawbridge_");
}

#[tokio::test(flavor = "multi_thread")]
async fn sha1_signatures_and_compression_are_not_offered() {
    let workspace = Workspace::start().await;
    let output = workspace.run_with(&["-vv", "-C"], "true", &[]).await;
    let told = text(&output.stderr);
    let algorithms = told.lines().find(|line| line.contains("server-sig-algs=")).unwrap();
    assert!(!algorithms.contains("ssh-rsa") && algorithms.contains("sk-ssh-ed25519@openssh.com"), "{algorithms}");
    assert!(told.contains("compression: none"), "{told}");
}

fn target(workspace: &Workspace) -> Vec<String> {
    let known = format!("-oUserKnownHostsFile={}", workspace.path("known_hosts").display());
    let port = workspace.port().to_string();
    ["-oIdentitiesOnly=yes", &known, "-p", &port, &format!("{NAME}@127.0.0.1"), "true"].map(str::to_owned).to_vec()
}

//! The user's own SSH agent, used from inside.

use crate::harness::{Workspace, text, until};
use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::process::{Child, Command};

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_seen_from_inside() {
    let workspace = Workspace::start().await;
    let (_agent, socket) = agent(&workspace).await;
    let outside = Command::new("ssh-add").arg("-l").env("SSH_AUTH_SOCK", &socket).output().await.unwrap();
    assert!(text(&outside.stdout).contains("ED25519"), "{}", text(&outside.stdout));
    let inside = with_agent(&workspace, &socket, &["-A"], "ssh-add -l").await;
    assert_eq!(text(&inside.stdout), text(&outside.stdout), "{}", text(&inside.stderr));
    let none = with_agent(&workspace, &socket, &["-a"], "echo [$SSH_AUTH_SOCK]").await;
    assert_eq!(text(&none.stdout), "[]\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_the_accounts_alone_and_goes_with_the_connection() {
    let workspace = Workspace::start().await;
    let (_agent, socket) = agent(&workspace).await;
    let output =
        with_agent(&workspace, &socket, &["-A"], "stat -c '%a %U' $SSH_AUTH_SOCK ${SSH_AUTH_SOCK%/*}; echo $SSH_AUTH_SOCK");
    let output = output.await;
    let lines: Vec<_> = text(&output.stdout).lines().collect();
    let own = text(&std::process::Command::new("id").arg("-un").output().unwrap().stdout).trim().to_owned();
    assert_eq!(lines[..2], [format!("600 {own}"), format!("700 {own}")]);
    let path = Path::new(lines[2]);
    assert!(lines[2].starts_with("/tmp/ssh-"), "{}", lines[2]);
    until("the folder's end", || !path.parent().unwrap().exists()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_socket_serves_all_sessions_of_a_connection() {
    let workspace = Workspace::start().await;
    let (_agent, socket) = agent(&workspace).await;
    let mut master = workspace.ssh(&["-A", "-M", "-N", "ws"]).env("SSH_AUTH_SOCK", &socket).spawn().unwrap();
    until("a master connection", || workspace.path("master").exists()).await;
    let mut paths = Vec::new();
    for _ in 0..2 {
        let output = with_agent(&workspace, &socket, &["-A"], "ssh-add -l >&2; echo $SSH_AUTH_SOCK").await;
        assert!(text(&output.stderr).contains("ED25519"), "{}", text(&output.stderr));
        paths.push(PathBuf::from(text(&output.stdout).trim()));
    }
    assert_eq!(paths[0], paths[1]);
    assert!(paths[0].exists(), "it outlives a session");
    assert_eq!(std::fs::metadata(&paths[0]).unwrap().permissions().mode() & 0o777, 0o600);
    master.kill().await.unwrap();
    until("the socket's end", || !paths[0].parent().unwrap().exists()).await;
}

/// What many have `~/.ssh/rc` for: a terminal that outlives its connection finds the newest one's agent by a name that stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_up_script_sees_it() {
    let workspace = Workspace::start().await;
    let (_agent, socket) = agent(&workspace).await;
    std::fs::create_dir(workspace.home(".ssh")).unwrap();
    std::fs::write(workspace.home(".ssh/rc"), "test -S \"$SSH_AUTH_SOCK\" && ln -sf \"$SSH_AUTH_SOCK\" ~/.ssh/agent\n").unwrap();
    let output = with_agent(&workspace, &socket, &["-A"], "SSH_AUTH_SOCK=~/.ssh/agent ssh-add -l").await;
    assert!(text(&output.stdout).contains("ED25519"), "{}", text(&output.stderr));
}

/// More than are served at a time: the others wait their turn.
#[tokio::test(flavor = "multi_thread")]
async fn many_questions_are_answered() {
    let workspace = Workspace::start().await;
    let (_agent, socket) = agent(&workspace).await;
    let line = "for n in $(seq 80); do ssh-add -l & done; wait";
    let output = with_agent(&workspace, &socket, &["-A"], line).await;
    assert_eq!(text(&output.stdout).matches("ED25519").count(), 80, "{}", text(&output.stderr));
}

async fn with_agent(workspace: &Workspace, socket: &Path, options: &[&str], line: &str) -> std::process::Output {
    workspace.ssh(options).args(["ws", line]).env("SSH_AUTH_SOCK", socket).output().await.unwrap()
}

/// An `ssh-agent` that holds the member's key, and its socket.
pub(super) async fn agent(workspace: &Workspace) -> (Child, PathBuf) {
    let socket = workspace.path("agent");
    let mut command = Command::new("ssh-agent");
    command.args(["-D", "-a"]).arg(&socket).stdout(Stdio::null()).kill_on_drop(true);
    let child = command.spawn().unwrap();
    drop(super::connect(&socket).await);
    let add = Command::new("ssh-add").arg("-q").arg(workspace.path("member")).env("SSH_AUTH_SOCK", &socket).status().await;
    assert!(add.unwrap().success());
    (child, socket)
}

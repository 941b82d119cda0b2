//! Scripts that run before a session's program: the user's `~/.ssh/rc` and the machine's `/etc/ssh/sshrc`.

use crate::harness::{Workspace, lives, text, until};
use std::{fs, process::Stdio};
use tokio::io::{AsyncBufReadExt, BufReader};

fn of_user(workspace: &Workspace, script: &str) {
    fs::create_dir_all(workspace.home(".ssh")).unwrap();
    fs::write(workspace.home(".ssh/rc"), script).unwrap();
}

fn of_machine(workspace: &Workspace, script: &str) {
    fs::create_dir_all(workspace.path("etc/ssh")).unwrap();
    fs::write(workspace.path("etc/ssh/sshrc"), script).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_script_runs_first_in_the_sessions_place_and_environment() {
    let workspace = Workspace::start().await;
    of_user(&workspace, "read typed; echo \"rc:$typed:$LC_MARK:$PWD:${SSH_CONNECTION%% *}\"; echo beside >&2; exit 9\n");
    let output = workspace.run_with(&["-oSetEnv=LC_MARK=m"], "cat; echo $0; exit 3", b"typed\n").await;
    let expected = format!("rc::m:{}:127.0.0.1\ntyped\nbash\n", workspace.path("home").display());
    assert_eq!((text(&output.stdout), text(&output.stderr), output.status.code()), (&*expected, "beside\n", Some(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_on_a_terminal_is_a_login_shell_that_controls_it() {
    let workspace = Workspace::start().await;
    of_user(&workspace, "test -t 1 && echo rc on a terminal\n");
    let mut child = workspace.ssh(&["-tt"]).arg("ws").stdin(Stdio::piped()).spawn().unwrap();
    let script = b"stty -echo; PS1=; echo name:$0; set -o | grep monitor; exit 3\n";
    tokio::io::AsyncWriteExt::write_all(child.stdin.as_mut().unwrap(), script).await.unwrap();
    let output = crate::harness::ends(child).await;
    let shown = text(&output.stdout);
    assert!(shown.contains("rc on a terminal\r\n") && shown.contains("name:-bash"), "{shown}");
    assert!(shown.lines().any(|line| line.starts_with("monitor") && line.trim_end().ends_with("on")), "{shown}");
    assert_eq!(output.status.code(), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_machines_script_is_for_who_has_none() {
    let workspace = Workspace::start().await;
    of_machine(&workspace, "echo of the machine\n");
    assert_eq!(text(&workspace.run("echo on").await.stdout), "of the machine\non\n");
    of_user(&workspace, "echo of the user\n");
    assert_eq!(text(&workspace.run("echo on").await.stdout), "of the user\non\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn sftp_has_the_machines_only() {
    let workspace = Workspace::start().await;
    of_user(&workspace, "echo words in the protocol\n");
    of_machine(&workspace, "echo ran >> \"$HOME/machine\"\n");
    fs::write(workspace.home("there"), "bytes").unwrap();
    let got = workspace.path("got");
    let mut sftp = tokio::process::Command::new("sftp");
    sftp.arg("-F").arg(workspace.path("config")).arg(format!("ws:{}", workspace.home("there").display())).arg(&got);
    assert!(sftp.stdin(Stdio::null()).status().await.unwrap().success());
    assert_eq!(fs::read(got).unwrap(), b"bytes");
    assert_eq!(fs::read_to_string(workspace.home("machine")).unwrap(), "ran\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_takes_its_time_holds_up_nobody_else_and_goes_with_its_client() {
    let workspace = Workspace::start().await;
    of_user(&workspace, "test \"$LC_SLOW\" = yes || exit 0; echo $$; exec sleep 600\n");
    let mut slow = workspace.ssh(&["-oSetEnv=LC_SLOW=yes"]).args(["ws", "echo never"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut pid = String::new();
    BufReader::new(slow.stdout.take().unwrap()).read_line(&mut pid).await.unwrap();
    assert_eq!(text(&workspace.run("echo on").await.stdout), "on\n");
    assert!(lives(pid.trim()));
    slow.kill().await.unwrap();
    until("the script's end", || !lives(pid.trim())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_that_keeps_out_runs_no_script() {
    let workspace = Workspace::with(|account| account.shell = "/bin/false".into()).await;
    of_user(&workspace, "echo not run\n");
    let output = workspace.run("echo on").await;
    assert_eq!((text(&output.stdout), output.status.code()), ("", Some(1)));
}

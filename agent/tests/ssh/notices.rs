//! What those who log in are told before their shell: the message of the day, and that nobody may.

use crate::harness::{Workspace, text};
use drawbridge_agent::ssh::{Account, Alive};
use std::{fs, process::Stdio};
use tokio::io::AsyncWriteExt;

/// A login shell on a terminal that only says `$0`.
async fn shell(workspace: &Workspace) -> String {
    let mut child = workspace.ssh(&["-tt"]).arg("ws").stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"stty -echo; PS1=; echo name:$0; exit 3\n").await.unwrap();
    let output = crate::harness::ends(child).await;
    assert_eq!(output.status.code(), Some(3));
    text(&output.stdout).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_message_of_the_day_greets_shells_on_terminals_only() {
    let workspace = Workspace::start().await;
    fs::write(workspace.path("run/motd.dynamic"), "made up\n").unwrap();
    fs::write(workspace.path("etc/motd"), "written\n\n").unwrap();
    let greeted = shell(&workspace).await;
    assert!(greeted.starts_with("made up\r\nwritten\r\n\r\n") && greeted.contains("name:-bash"), "{greeted}");
    for options in [&["-T"][..], &["-tt"]] {
        assert_eq!(text(&workspace.run_with(options, "echo on", &[]).await.stdout).trim_end(), "on");
    }
    fs::write(workspace.home(".hushlogin"), "").unwrap();
    let hushed = shell(&workspace).await;
    assert!(!hushed.contains("written") && hushed.contains("name:-bash"), "{hushed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_message_does_not_stop_the_shell() {
    let workspace = Workspace::start().await;
    let line = format!("{}\n", "x".repeat(999));
    fs::write(workspace.path("etc/motd"), line.repeat(60)).unwrap();
    let greeted = shell(&workspace).await;
    assert_eq!(greeted.matches(line.trim_end()).count(), 60);
    assert!(greeted.contains("name:-bash"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nologin_lets_nobody_in_but_the_superuser() {
    let workspace = Workspace::with(|account| account.uid = account.uid.max(1)).await;
    fs::write(workspace.path("etc/nologin"), "going down\n").unwrap();
    let output = workspace.run("echo on").await;
    assert_eq!((text(&output.stdout), text(&output.stderr), output.status.code()), ("", "going down\n", Some(254)));
    let output = workspace.run_with(&["-tt"], "echo on", &[]).await;
    assert_eq!((text(&output.stdout), output.status.code()), ("going down\r\n", Some(254)));

    let superuser = Workspace::serving(Alive::default(), |_, own| Account { uid: 0, ..own }.into()).await;
    fs::write(superuser.path("etc/nologin"), "going down\n").unwrap();
    assert_eq!(text(&superuser.run("echo on").await.stdout), "on\n");
}

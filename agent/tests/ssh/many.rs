//! Many at once and many in a row: sessions of one connection, connections, and clients that fall silent.

use crate::harness::{Workspace, ends, line_in, lives, no_zombie_stays, text, until};
use drawbridge_agent::ssh::Alive;
use rustix::process::{Pid, Signal, kill_process};
use std::time::Duration;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread")]
async fn fifty_sessions_run_at_once_on_one_connection() {
    let workspace = Workspace::start().await;
    let _master = workspace.master().await;
    // Each says its number only once all fifty have begun.
    let line =
        |n: usize| format!("touch began-{n}; while [ $(ls began-* | wc -l) -lt 50 ]; do sleep 0.1; done; echo {n}; exit {n}");
    let children: Vec<_> = (0..50).map(|n| (n, workspace.ssh(&[]).arg("ws").arg(line(n)).spawn().unwrap())).collect();
    for (n, child) in children {
        let output = ends(child).await;
        assert_eq!(
            (text(&output.stdout), output.status.code()),
            (&*format!("{n}\n"), Some(n as i32)),
            "{}",
            text(&output.stderr)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_short_connections_leave_nothing_behind() {
    let workspace = std::sync::Arc::new(Workspace::start().await);
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mut clients = JoinSet::new();
    for lane in 0..5 {
        let workspace = workspace.clone();
        clients.spawn(async move {
            for n in 0..40 {
                let options: &[&str] = if n % 8 == 0 { &["-tt"] } else { &[] };
                let output = workspace.run_with(options, &format!("echo {lane}-{n}"), &[]).await;
                assert_eq!((text(&output.stdout).trim_end(), output.status.code()), (&*format!("{lane}-{n}"), Some(0)));
            }
        });
    }
    clients.join_all().await;
    workspace.stop().await;
    no_zombie_stays().await;
    // Other tests of this process open some too, but not a hundred.
    until("descriptors are closed", || descriptors() < 300).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_gives_no_sign_of_life_is_given_up() {
    let alive = Alive { interval: Some(Duration::from_secs(1)), unanswered: 2 };
    let workspace = Workspace::serving(alive, |_, own| own.into()).await;
    let child = workspace.ssh(&[]).arg("ws").arg("echo $$ > pid; exec sleep 600").spawn().unwrap();
    let pid = line_in(&workspace.home("pid")).await;
    // One that answers stays: four questions.
    let answered = workspace.run("sleep 4; echo still").await;
    assert_eq!(text(&answered.stdout), "still\n");
    assert!(lives(&pid));
    let client = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    kill_process(client, Signal::STOP).unwrap();
    until("the program's end", || !lives(&pid)).await;
}

//! A key that is taken away takes its sessions along, with words, and nobody else's.

use crate::harness::{Workspace, ends, line_in, lives, text, until};
use std::process::Stdio;

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_keys_connection_ends_in_words_and_no_other() {
    let workspace = Workspace::start().await;
    workspace.befriend();
    let stranger = format!("-oIdentityFile={}", workspace.path("stranger").display());
    let wait = |name: &str| format!("echo $$ > {name}; exec sleep 600");
    let hers = workspace.ssh(&[]).arg("ws").arg(wait("hers")).stdin(Stdio::null()).spawn().unwrap();
    let mut his = workspace.ssh(&[&stranger]).arg("ws").arg(wait("his")).stdin(Stdio::null()).spawn().unwrap();
    let [her_program, his_program] = [line_in(&workspace.home("hers")).await, line_in(&workspace.home("his")).await];
    workspace.revoke();
    let output = ends(hers).await;
    assert_eq!(output.status.code(), Some(255));
    assert!(text(&output.stderr).contains("the key of this connection was removed"), "{}", text(&output.stderr));
    until("the program's end", || !lives(&her_program)).await;
    assert!(lives(&his_program) && his.try_wait().unwrap().is_none(), "another key's session ended too");
    let again = workspace.run("true").await;
    assert!(text(&again.stderr).contains("Permission denied"), "{}", text(&again.stderr));
}

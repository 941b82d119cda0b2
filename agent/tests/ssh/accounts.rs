//! Other accounts than the agent's own. A root agent becomes them, so these tests need root; their accounts stand in
//! files of the test's, never in the machine's.

use crate::harness::{NAME, Workspace, text};
use drawbridge_agent::ssh::{Account, Accounts, Admitted, Alive, Book};
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

const UID: u32 = 54_321;

/// A workspace with these accounts of its own beside the agent's; `None` without root.
async fn workspace(admitted: Admitted, default: Option<&str>) -> Option<Workspace> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not root: nothing to become");
        return None;
    }
    let default = default.map(str::to_owned);
    let workspace = Workspace::serving(Alive::default(), |dir, own| machine(dir, own, admitted, default)).await;
    Some(workspace)
}

fn machine(dir: &Path, own: Account, admitted: Admitted, default: Option<String>) -> Accounts {
    let (etc, home) = (dir.join("etc"), dir.join("dev-home"));
    fs::create_dir(&home).unwrap();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::chown(&home, Some(UID), Some(UID)).unwrap();
    let home = home.display();
    let lines = [
        format!("guest:x:{UID}:{UID}::{home}:/bin/bash"),
        format!("closed:x:{}:{UID}::{home}:/usr/sbin/nologin", UID + 1),
        format!("locked:x:{}:{UID}::{home}:/bin/bash", UID + 2),
        format!("homeless:x:{}:{UID}::/root/nowhere:/bin/sh", UID + 3),
    ];
    fs::write(etc.join("passwd"), lines.join("\n") + "\n").unwrap();
    fs::write(etc.join("group"), format!("tty:x:5:\nguest:x:{UID}:\nextra:x:54400:guest\nmore:x:54401:closed,guest\n")).unwrap();
    fs::write(etc.join("shadow"), "guest:*:19000::::::\nlocked:!:19000::::::\n").unwrap();
    Accounts::new(own, admitted, default, Book::of_files(&etc))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_account_runs_as_itself() {
    let Some(workspace) = workspace(Admitted::Any, None).await else { return };
    let line =
        "id -u; id -g; id -G; umask; pwd; echo $USER $HOME $MAIL; grep CapEff /proc/self/status; touch mine && stat -c %u mine";
    let output = workspace.run_with(&["-lguest"], line, &[]).await;
    let home = workspace.path("dev-home").display().to_string();
    let groups = format!("{UID} 54400 54401");
    let wanted =
        format!("{UID}\n{UID}\n{groups}\n0022\n{home}\nguest {home} /var/mail/guest\nCapEff:\t0000000000000000\n{UID}\n");
    assert_eq!(text(&output.stdout), wanted, "{}", text(&output.stderr));
    assert_eq!(text(&workspace.run("id -u").await.stdout), "0\n", "the agent's own account stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_way_back_to_root() {
    let Some(workspace) = workspace(Admitted::Any, None).await else { return };
    let line =
        "cat /etc/shadow; kill -0 $PPID; echo > /etc/drawbridge-test; grep NoNewPrivs /proc/self/status; cat /proc/$PPID/environ";
    let output = workspace.run_with(&["-lguest"], line, &[]).await;
    let told = text(&output.stderr);
    assert_eq!(told.matches("Permission denied").count(), 3, "{told}");
    assert!(told.contains("Operation not permitted"), "{told}");
    // As under sshd, sudo works for those who may.
    assert_eq!(text(&output.stdout), "NoNewPrivs:\t0\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_pipes_can_be_opened_by_name() {
    let Some(workspace) = workspace(Admitted::Any, None).await else { return };
    let line = "cat /dev/stdin; echo out >/dev/stdout; echo err >/dev/stderr";
    let output = workspace.run_with(&["-lguest"], line, b"in\n").await;
    assert_eq!((text(&output.stdout), text(&output.stderr), output.status.code()), ("in\nout\n", "err\n", Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_the_accounts_own() {
    let Some(workspace) = workspace(Admitted::Any, None).await else { return };
    let output = workspace.run_with(&["-lguest", "-tt"], "stat -c '%u %g %a' $(tty); echo on > /dev/tty", &[]).await;
    assert_eq!(text(&output.stdout), format!("{UID} 5 620\r\non\r\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_alias_and_the_list_decide_who() {
    let Some(workspace) = workspace(Admitted::Named(vec!["guest".into()]), None).await else { return };
    for name in ["guest", "user"] {
        assert_eq!(text(&workspace.run_with(&["-l", name], "id -u", &[]).await.stdout), format!("{UID}\n"));
    }
    for name in [NAME, "root", "closed", "54321"] {
        let output = workspace.run_with(&["-l", name], "true", &[]).await;
        let told = format!("there is no login as '{name}' here: use 'guest' or 'user'");
        assert_eq!(output.status.code(), Some(255));
        assert!(text(&output.stderr).contains(&told), "{}", text(&output.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_locked_and_homeless_accounts_are_as_under_sshd() {
    let Some(workspace) = workspace(Admitted::Any, Some("guest")).await else { return };
    let closed = workspace.run_with(&["-lclosed"], "true", &[]).await;
    assert_eq!((text(&closed.stdout), closed.status.code()), ("This account is currently not available.\n", Some(1)));
    let locked = workspace.run_with(&["-llocked"], "true", &[]).await;
    assert!(text(&locked.stderr).contains("the account 'locked' is locked"), "{}", text(&locked.stderr));
    let homeless = workspace.run_with(&["-lhomeless"], "pwd", &[]).await;
    let told = "Could not chdir to home directory /root/nowhere: Permission denied\n";
    assert_eq!((text(&homeless.stdout), text(&homeless.stderr), homeless.status.code()), ("/\n", told, Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_accounts_programs_are_hung_up_and_reaped() {
    let Some(workspace) = workspace(Admitted::Any, None).await else { return };
    let mut child = workspace.ssh(&["-lguest"]).arg("ws").arg("echo $$ > pid; exec sleep 600").spawn().unwrap();
    let pid = crate::harness::line_in(&workspace.path("dev-home").join("pid")).await;
    child.kill().await.unwrap();
    crate::harness::until("the program's end", || !crate::harness::lives(&pid)).await;
    workspace.stop().await;
    crate::harness::no_zombie_stays().await;
}

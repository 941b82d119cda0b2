//! Programs without a terminal: what they see, and what of them comes back.

use crate::harness::{NAME, Workspace, ends, text};
use std::process::Stdio;
use tokio::io::AsyncWriteExt;

#[tokio::test(flavor = "multi_thread")]
async fn output_and_errors_stay_apart_and_the_status_is_exact() {
    let workspace = Workspace::start().await;
    let output = workspace.run("echo out; echo err >&2; exit 3").await;
    assert_eq!((text(&output.stdout), text(&output.stderr), output.status.code()), ("out\n", "err\n", Some(3)));
    for status in [0, 1, 127, 128, 254, 255] {
        assert_eq!(workspace.run(&format!("exit {status}")).await.status.code(), Some(status));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_killed_ends_by_exit_signal() {
    let workspace = Workspace::start().await;
    for signal in ["TERM", "KILL", "USR2"] {
        let output = workspace.run_with(&["-v"], &format!("kill -{signal} $$"), &[]).await;
        assert_eq!(output.status.code(), Some(255));
        assert!(text(&output.stderr).contains("rtype exit-signal"), "{}", text(&output.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn end_of_input_reaches_the_program() {
    let workspace = Workspace::start().await;
    let output = workspace.run_with(&[], "cat; echo end", b"a\r\nb\n\0c").await;
    assert_eq!(output.stdout, b"a\r\nb\n\0cend\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_may_stop_reading_and_go_on() {
    let workspace = Workspace::start().await;
    let input = vec![7; 20 << 20];
    let output = workspace.run_with(&[], "exec <&-; echo closed; sleep 0.3; echo done", &input).await;
    assert_eq!((text(&output.stdout), output.status.code()), ("closed\ndone\n", Some(0)));
    let output = workspace.run_with(&[], "head -c 5 >/dev/null", &input).await;
    assert_eq!(output.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_may_close_its_output_and_go_on() {
    let workspace = Workspace::start().await;
    let output = workspace.run("exec >&- 2>&-; sleep 0.2; exit 4").await;
    assert_eq!(output.status.code(), Some(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_is_clean_and_complete() {
    let workspace = Workspace::start().await;
    let settings = ["LANG=C.UTF-8", "LC_X=a b", "GIT_AUTHOR_NAME=A", "COLORTERM=truecolor", "LD_PRELOAD=/x", "EDITOR=vi"];
    let settings = format!("-oSetEnv={}", settings.map(|setting| format!("\"{setting}\"")).join(" "));
    let output = workspace.run_with(&[&settings], "cat /proc/self/environ | tr '\\0' '\\n'; pwd", &[]).await;
    let seen = text(&output.stdout);
    let home = workspace.path("home").display().to_string();
    let wanted = [&format!("HOME={home}"), &format!("USER={NAME}"), &format!("LOGNAME={NAME}"), "SHELL=/bin/bash"];
    let sent = ["LANG=C.UTF-8", "LC_X=a b", "GIT_AUTHOR_NAME=A", "COLORTERM=truecolor"];
    for line in wanted.into_iter().chain(sent).chain([home.as_str()]) {
        assert!(seen.lines().any(|seen| seen == line), "{line} is missing in\n{seen}");
    }
    for name in ["LD_PRELOAD", "EDITOR", "SSH_TTY", "TERM", "CARGO"] {
        assert!(!seen.contains(&format!("\n{name}=")), "{name} in\n{seen}");
    }
    let connection = seen.lines().find_map(|line| line.strip_prefix("SSH_CONNECTION=")).unwrap();
    let parts: Vec<_> = connection.split(' ').collect();
    assert_eq!((parts[0], parts[2], parts[3]), ("127.0.0.1", "127.0.0.1", "22"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_fed_to_a_login_shell_runs() {
    let workspace = Workspace::start().await;
    let mut child = workspace.ssh(&["-T"]).arg("ws").stdin(Stdio::piped()).spawn().unwrap();
    let script = b"echo $0; shopt -q login_shell && echo login; tty; exit 6\n";
    child.stdin.take().unwrap().write_all(script).await.unwrap();
    let output = ends(child).await;
    assert_eq!((text(&output.stdout), output.status.code()), ("-bash\nlogin\nnot a tty\n", Some(6)));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_the_shells_word_for_word() {
    let workspace = Workspace::start().await;
    let output = workspace.run(r#"printf '%s|' "a  b" 'c"d' $0 $((6*7)) é"#).await;
    assert_eq!(text(&output.stdout), "a  b|c\"d|bash|42|é|");
    assert_eq!(text(&workspace.run("cat /proc/$$/cmdline | tr '\\0' '|'").await.stdout).split('|').next(), Some("bash"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_home_is_told_and_the_session_goes_on() {
    let workspace = Workspace::with(|account| account.home = "/nonexistent".into()).await;
    let output = workspace.run("pwd").await;
    let told = "Could not chdir to home directory /nonexistent: No such file or directory\n";
    assert_eq!((text(&output.stdout), text(&output.stderr), output.status.code()), ("/\n", told, Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_shell_is_no_login() {
    let workspace = Workspace::with(|account| account.shell = "/bin/nosuch".into()).await;
    let output = workspace.run("true").await;
    assert_eq!(output.status.code(), Some(255));
    let told = format!("the login shell of '{NAME}', /bin/nosuch, does not exist");
    assert!(text(&output.stderr).contains(&told), "{}", text(&output.stderr));
}

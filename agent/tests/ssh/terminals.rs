//! Programs on a terminal: its size, its modes, its end.

use crate::harness::{Workspace, ends, line_in, lives, text, until};
use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{OptionalActions, SpecialCodeIndex, Winsize, tcgetattr, tcsetattr, tcsetwinsize},
};
use std::{fs, os::fd::OwnedFd, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::Instant,
};

/// A user's own terminal with `ssh` on it.
struct Desk {
    master: OwnedFd,
    slave: OwnedFd,
}

impl Desk {
    fn new(rows: u16, columns: u16) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        unlockpt(&master).unwrap();
        let slave = ioctl_tiocgptpeer(&master, flags).unwrap();
        fcntl_setfl(&master, fcntl_getfl(&master).unwrap() | OFlags::NONBLOCK).unwrap();
        let desk = Self { master, slave };
        desk.resize(rows, columns);
        desk
    }

    fn resize(&self, rows: u16, columns: u16) {
        tcsetwinsize(&self.master, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 7, ws_ypixel: 9 }).unwrap();
    }

    /// `setsid -c` makes the desk the controlling terminal of `ssh`, so that it hears of new sizes.
    fn run(&self, workspace: &Workspace, line: &str) -> Child {
        let ssh = workspace.ssh(&["-tt"]);
        let mut command = Command::new("setsid");
        command.args(["-c", "-w", "ssh"]).args(ssh.as_std().get_args()).arg("ws").arg(line);
        let end = || Stdio::from(self.slave.try_clone().unwrap());
        command.env("TERM", "xterm-256color").stdin(end()).stdout(end()).stderr(end()).kill_on_drop(true).spawn().unwrap()
    }

    fn screen(&self) -> String {
        let mut buffer = [0; 4096];
        let read = rustix::io::read(&self.master, &mut buffer).unwrap_or(0);
        String::from_utf8_lossy(&buffer[..read]).into_owned()
    }

    async fn shows(&self, wanted: &str) {
        let mut seen = String::new();
        until(wanted, || {
            seen += &self.screen();
            seen.contains(wanted)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_size_is_the_users_and_follows_it() {
    let workspace = Workspace::start().await;
    let desk = Desk::new(33, 101);
    let line = "stty size; echo $TERM; trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done";
    let child = desk.run(&workspace, line);
    desk.shows("33 101\r\nxterm-256color\r\nready").await;
    desk.resize(44, 55);
    desk.shows("44 55").await;
    assert!(ends(child).await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_modes_are_the_users() {
    let workspace = Workspace::start().await;
    let desk = Desk::new(24, 80);
    let mut termios = tcgetattr(&desk.slave).unwrap();
    termios.special_codes[SpecialCodeIndex::VINTR] = 7;
    termios.special_codes[SpecialCodeIndex::VSUSP] = 0;
    tcsetattr(&desk.slave, OptionalActions::Now, &termios).unwrap();
    let child = desk.run(&workspace, "stty -a");
    let mut seen = String::new();
    until("modes", || {
        seen += &desk.screen();
        seen.contains("intr = ^G") && seen.contains("susp = <undef>")
    })
    .await;
    assert!(ends(child).await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_echoed_and_ctrl_c_interrupts() {
    let workspace = Workspace::start().await;
    let desk = Desk::new(24, 80);
    let child = desk.run(&workspace, "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.05; done");
    desk.shows("ready").await;
    rustix::io::write(&desk.master, b"key").unwrap();
    desk.shows("key").await;
    rustix::io::write(&desk.master, b"\x03").unwrap();
    desk.shows("caught").await;
    assert_eq!(ends(child).await.status.code(), Some(9));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_on_a_terminal_knows_it() {
    let workspace = Workspace::start().await;
    let line = "tty; echo $SSH_TTY; [ -t 0 -a -t 1 -a -t 2 ] && echo all; [ $(ps -o tpgid= $$) = $$ ] && echo foreground";
    let output = workspace.run_with(&["-tt"], line, &[]).await;
    let lines: Vec<_> = text(&output.stdout).lines().map(str::trim_end).collect();
    assert!(lines[0].starts_with("/dev/pts/") && lines[0] == lines[1], "{lines:?}");
    assert_eq!(lines[2..], ["all", "foreground"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_output_of_a_terminal_is_not_lost() {
    let workspace = Workspace::start().await;
    for _ in 0..5 {
        let output = workspace.run_with(&["-tt"], "seq 1 50000; exit 2", &[]).await;
        assert_eq!((text(&output.stdout).lines().count(), output.status.code()), (50_000, Some(2)));
        assert!(output.stdout.ends_with(b"\r\n50000\r\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_ends_with_its_program_whoever_holds_it() {
    let workspace = Workspace::start().await;
    let start = Instant::now();
    let output = workspace.run_with(&["-tt"], "trap '' HUP; sleep 30 & echo $! > pid; echo started", &[]).await;
    assert_eq!(text(&output.stdout), "started\r\n");
    assert!(start.elapsed() < Duration::from_secs(15));
    let pid = line_in(&workspace.home("pid")).await;
    std::process::Command::new("kill").args(["-9", &pid]).status().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_shell_runs_on_a_terminal() {
    let workspace = Workspace::start().await;
    fs::write(workspace.home(".hushlogin"), "").unwrap();
    fs::write(workspace.home(".bash_profile"), "PS1='prompt>'; echo profile\n").unwrap();
    let desk = Desk::new(24, 80);
    let child = desk.run(&workspace, "exec -l $SHELL");
    desk.shows("prompt>").await;
    rustix::io::write(&desk.master, b"echo $0 $((6*7)); exit 5\r").unwrap();
    desk.shows("42").await;
    assert_eq!(ends(child).await.status.code(), Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_home_is_told_on_the_terminal() {
    let workspace = Workspace::with(|account| account.home = "/nonexistent".into()).await;
    let output = workspace.run_with(&["-tt"], "echo on", &[]).await;
    let told = "Could not chdir to home directory /nonexistent: No such file or directory\r\non\r\n";
    assert_eq!(text(&output.stdout), told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_no_more_lets_the_program_wait() {
    let workspace = Workspace::start().await;
    let line = "echo $$ > pid; n=0; while :; do n=$((n+1)); echo $n; echo $n > next; mv next count; done";
    let mut child = workspace.ssh(&["-tt"]).arg("ws").arg(line).stdin(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut first).await.unwrap();
    drop(output);
    let (pid, counted) = (line_in(&workspace.home("pid")).await, || fs::read_to_string(workspace.home("count")).ok());
    let (mut last, mut since) = (counted(), Instant::now());
    until("a program that waits", || {
        let seen = counted();
        if seen != last {
            (last, since) = (seen, Instant::now());
        }
        since.elapsed() > Duration::from_secs(1)
    })
    .await;
    assert!(lives(&pid), "it is not told of it");
    child.kill().await.unwrap();
    until("its end", || !lives(&pid)).await;
}

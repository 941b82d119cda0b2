//! Many bytes: every one of them, in order, both ways at once, whoever is slow.

use crate::harness::{Workspace, ends, noise, text};
use std::{fs, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout},
    time::{Instant, timeout},
};

const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_mebibytes_go_both_ways_at_once() {
    let workspace = Workspace::start().await;
    let data = noise(64 * MIB);
    let output = workspace.run_with(&[], "cat", &data).await;
    assert!(output.stdout == data, "{} bytes came back", output.stdout.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn rekeying_in_mid_transfer_loses_nothing() {
    let workspace = Workspace::start().await;
    let data = noise(64 * MIB);
    let output = workspace.run_with(&["-oRekeyLimit=1M", "-v"], "cat", &data).await;
    let told = text(&output.stderr);
    assert!(output.stdout == data, "{} bytes came back, {told}", output.stdout.len());
    let changes = told.matches("rekeying in progress").count().max(told.matches("SSH2_MSG_NEWKEYS received").count());
    assert!(changes > 20, "{changes} changes of keys");
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_around_a_packet_are_exact() {
    let workspace = Workspace::start().await;
    let data = noise(3 * 32_768 + 1);
    fs::write(workspace.home("data"), &data).unwrap();
    for size in (1..=3).flat_map(|k| [32_768 * k - 1, 32_768 * k, 32_768 * k + 1]) {
        let down = workspace.run(&format!("head -c {size} data; head -c {size} data >&2")).await;
        assert!(down.stdout == data[..size] && down.stderr == data[..size], "{size} down");
        let up = workspace.run_with(&[], "cat > up", &data[..size]).await;
        assert!(up.status.success() && fs::read(workspace.home("up")).unwrap() == data[..size], "{size} up");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stalls_stops_the_program_and_loses_nothing() {
    let workspace = Workspace::start().await;
    let line = "head -c 67108864 /dev/zero; echo written > done; echo end";
    let mut child = workspace.ssh(&[]).arg("ws").arg(line).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 10]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!workspace.home("done").exists(), "64 MiB went where nobody reads");
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).await.unwrap();
    assert_eq!((rest.len(), rest.ends_with(b"end\n")), (64 * MIB - 10 + 4, true));
    assert!(ends(child).await.status.success());
}

/// Two sessions of one connection: one is sent 96 MiB and does not read, the other echoes all the while.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_does_not_read_holds_up_no_other_channel() {
    let workspace = Workspace::start().await;
    let _master = workspace.master().await;
    let data = noise(96 * MIB);

    let line = "while [ ! -e go ]; do sleep 0.05; done; sha256sum";
    let mut stalled = workspace.ssh(&[]).arg("ws").arg(line).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = stalled.stdin.take().unwrap();
    let mut echo = Echo::start(&workspace).await;
    let mut sent = 0;
    // Until hardly more is taken in a second: the back-log is full, and only the trickle is left.
    loop {
        let before = sent;
        let all = async {
            while sent < data.len() {
                sent += input.write(&data[sent..]).await.unwrap();
            }
        };
        assert!(timeout(Duration::from_secs(1), all).await.is_err(), "all was taken");
        echo.once().await;
        if sent - before < MIB {
            break;
        }
    }
    assert!((32 * MIB..80 * MIB).contains(&sent), "{sent} bytes were taken");
    let mut times = Vec::new();
    for _ in 0..200 {
        times.push(echo.once().await);
    }
    times.sort();
    eprintln!("echo beside a stalled channel: median {:?}, worst {:?}, {sent} bytes taken", times[100], times[199]);
    assert!(times[100] < Duration::from_millis(20), "half of the echoes took {:?}", times[100]);

    fs::write(workspace.home("go"), "").unwrap();
    let rest = async {
        input.write_all(&data[sent..]).await.unwrap();
        drop(input);
    };
    let ((), output) = tokio::join!(rest, ends(stalled));
    fs::write(workspace.path("data"), &data).unwrap();
    let here = std::process::Command::new("sha256sum").arg(workspace.path("data")).output().unwrap();
    assert_eq!(text(&output.stdout).split(' ').next(), text(&here.stdout).split(' ').next());
}

/// A session of the master's connection that answers line by line.
struct Echo {
    _child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Echo {
    async fn start(workspace: &Workspace) -> Self {
        let mut child = workspace.ssh(&[]).arg("ws").arg("cat").stdin(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut echo = Self { _child: child, input, output };
        echo.once().await;
        echo
    }

    async fn once(&mut self) -> Duration {
        let start = Instant::now();
        let mut line = String::new();
        let both = async {
            self.input.write_all(b"echo\n").await.unwrap();
            self.output.read_line(&mut line).await.unwrap();
        };
        timeout(Duration::from_secs(10), both).await.expect("another channel stood still");
        assert_eq!(line, "echo\n");
        start.elapsed()
    }
}

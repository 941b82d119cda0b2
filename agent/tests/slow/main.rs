//! Readers that stall, beside others of the same connection. A process of its own, because its memory and processor
//! time are what is measured; so the tests take turns.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on should stop")]

#[allow(dead_code, reason = "the other tests use the rest")]
#[path = "../ssh/harness.rs"]
mod harness;
mod measure;

use harness::{Workspace, ends, noise, text};
use measure::{MIB, memory, processor};
use std::{fs, path::Path, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout},
    sync::Mutex,
    time::{Instant, sleep, timeout},
};

static TURN: Mutex<()> = Mutex::const_new(());

/// What a connection may hold beyond its program's appetite: the mark, the windows granted before it, and some.
const BOUND: usize = 48 + 64;

/// An echo that waits for another channel's consumer waits for ever; one that does not takes well under a millisecond on
/// an idle machine, and never this long on a busy one. How fast it is, is measured, not asserted.
const HELD_UP: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn four_gibibytes_for_a_stalled_reader_cost_little() {
    let _turn = TURN.lock().await;
    let workspace = Workspace::start().await;
    workspace.run("true").await;
    let before = memory();
    let mut child = workspace.ssh(&[]).arg("ws").arg("yes | head -c 4294967296").spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    let mut most = 0;
    let mut piece = vec![0; 8 * MIB];
    for _ in 0..8 {
        output.read_exact(&mut piece).await.unwrap();
        assert!(piece.chunks(2).all(|line| line == b"y\n"));
        // The reader stalls, and the program writes all that is taken from it.
        sleep(Duration::from_millis(500)).await;
        most = most.max(memory().saturating_sub(before));
    }
    eprintln!("a stalled reader of 4 GiB costs {} KiB", most / 1024);
    assert!(most < 32 * MIB, "{} MiB more", most / MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_does_not_read_holds_up_no_other_channel() {
    let _turn = TURN.lock().await;
    let workspace = Workspace::start().await;
    let _master = workspace.master().await;
    let mut echo = Echo::start(&workspace).await;
    let free = echo.median().await;
    let mut stalled = Stalled::start(&workspace, 160 * MIB);
    let before = memory();
    while stalled.takes_more().await {
        echo.once().await;
    }
    let sent = stalled.sent;
    let beside = echo.median().await;
    eprintln!("{} MiB taken; echo {free:?} without it, {beside:?} beside it", sent / MIB);
    assert!((32 * MIB..BOUND * MIB).contains(&sent), "{sent} bytes were taken");
    assert!(beside < HELD_UP, "echo takes {beside:?}, {free:?} without the stalled one");

    let (spent, span) = (processor(), Instant::now());
    sleep(Duration::from_secs(3)).await;
    let share = (processor() - spent).as_secs_f64() / span.elapsed().as_secs_f64();
    let more = memory().saturating_sub(before);
    eprintln!("while it stalls: {:.1} % of a processor, {} MiB", share * 100.0, more / MIB);
    assert!(share < 0.1, "{:.1} % of a processor for nothing", share * 100.0);
    assert!(more < BOUND * MIB, "{} MiB more", more / MIB);

    stalled.goes_on(&workspace).await;
    let after = echo.median().await;
    assert!(after < HELD_UP, "echo takes {after:?} afterwards, {free:?} before");
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_beside_a_stalled_channel_arrives_before_the_mark_and_after_it() {
    let _turn = TURN.lock().await;
    let workspace = Workspace::start().await;
    let _master = workspace.master().await;
    let data = noise(48 * MIB);
    let free = upload(&workspace, &data).await;
    let mut stalled = Stalled::start(&workspace, 160 * MIB);
    stalled.sends(24 * MIB).await;
    let beside = upload(&workspace, &data).await;
    while stalled.takes_more().await {}
    stalled.goes_on(&workspace).await;
    let after = upload(&workspace, &data).await;
    eprintln!("48 MiB: {free:?} alone, {beside:?} beside a stalled channel, {after:?} after it");
}

/// Uploads `data` on a channel of the master's, and how long that takes.
async fn upload(workspace: &Workspace, data: &[u8]) -> Duration {
    let start = Instant::now();
    let output = workspace.run_with(&[], "wc -c", data).await;
    assert_eq!(text(&output.stdout).trim(), data.len().to_string());
    start.elapsed()
}

/// A session of the master's connection whose program does not read until it may.
struct Stalled {
    child: Child,
    input: ChildStdin,
    data: Vec<u8>,
    sent: usize,
}

impl Stalled {
    fn start(workspace: &Workspace, length: usize) -> Self {
        let line = "while [ ! -e go ]; do sleep 0.05; done; sha256sum";
        let mut child = workspace.ssh(&[]).arg("ws").arg(line).stdin(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        Self { child, input, data: noise(length), sent: 0 }
    }

    async fn sends(&mut self, amount: usize) {
        while self.sent < amount {
            self.sent += self.input.write(&self.data[self.sent..amount]).await.unwrap();
        }
    }

    /// Whether hardly less than a mebibyte is taken in a second.
    async fn takes_more(&mut self) -> bool {
        let before = self.sent;
        let length = self.data.len();
        assert!(timeout(Duration::from_secs(1), self.sends(length)).await.is_err(), "all was taken");
        self.sent - before >= MIB
    }

    /// Lets it read, and sends the rest.
    async fn goes_on(self, workspace: &Workspace) {
        let Self { child, mut input, data, sent } = self;
        fs::write(workspace.home("go"), "").unwrap();
        let rest = async {
            input.write_all(&data[sent..]).await.unwrap();
            drop(input);
        };
        let ((), output) = tokio::join!(rest, ends(child));
        assert_eq!(text(&output.stdout).split(' ').next().unwrap(), digest(&workspace.path("data"), &data));
    }
}

fn digest(file: &Path, data: &[u8]) -> String {
    fs::write(file, data).unwrap();
    let told = std::process::Command::new("sha256sum").arg(file).output().unwrap();
    text(&told.stdout).split(' ').next().unwrap().to_owned()
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

    async fn median(&mut self) -> Duration {
        let mut times = Vec::new();
        for _ in 0..200 {
            times.push(self.once().await);
        }
        times.sort();
        times[100]
    }
}

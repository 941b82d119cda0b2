//! What lasts: a minute without a network, a transfer through many dead tunnels, an idle tunnel behind a hasty NAT.

use super::{
    Place,
    transport::{over, tunnel},
};
use crate::{Run::Patient, Test, bulk::Bulk};
use anyhow::{Context, Result, anyhow, ensure};
use e2e::{SOON, Session, Stack, aside::runtime};
use std::{
    io::{self, BufRead, BufReader, Lines, Read, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::{sync::watch, time};

pub(crate) const TESTS: &[Test] = &[
    ("tunnels::a_minute_without_a_network_costs_no_byte_and_no_keystroke", Patient(minute)),
    ("tunnels::a_transfer_outlives_one_tunnel_after_the_other", Patient(kills)),
    ("tunnels::an_idle_tunnel_outlives_a_hasty_nat", Patient(idle)),
];

/// Nothing moves for this long.
const MINUTE: Duration = Duration::from_secs(60);
/// By then the agent has tried again, whatever it has waited for before, and come in.
const BACK: Duration = Duration::from_secs(60);
/// Hasty NATs forget a flow after this long.
const FORGETFUL: Duration = Duration::from_secs(30);
/// Tunnels that die under one transfer, the transports in turn. An agent waits longer after each that did not last, so that
/// a hundred would take half an hour: `native::tunnel`'s own tests kill as many.
const KILLS: usize = 8;
/// One way, while transfers are under way: a window of 8 MiB moves 40 MiB a second.
const FAR: Duration = Duration::from_millis(100);
/// Bytes that go and come back between two kills.
const STEP: usize = 2 << 20;

/// A shell with a terminal, as somebody types in it.
struct Shell {
    child: Child,
    typed: ChildStdin,
    shown: Lines<BufReader<ChildStdout>>,
}

impl Shell {
    fn start(place: &Place) -> Result<Self> {
        let mut ssh = place.user.quiet_ssh();
        let ssh = ssh.arg("-tt").arg(place.target()).arg("exec env PS1= sh -i").stderr(Stdio::null());
        let mut child = ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (typed, shown) = (child.stdin.take().context("no input")?, child.stdout.take().context("no output")?);
        Ok(Self { child, typed, shown: BufReader::new(shown).lines() })
    }

    fn types(&mut self, line: &str) -> Result<()> {
        Ok(writeln!(self.typed, "{line}")?)
    }

    /// Waits until a line says just that; what was typed is shown too.
    fn shows(&mut self, wanted: &str) -> Result<()> {
        while self.shown.next().context("the shell ended")??.trim() != wanted {}
        Ok(())
    }
}

/// All that moves or is typed stands still for a minute, 32 MiB into transfers of 256 MiB, and then goes on.
fn minute(world: &Stack) -> Result<()> {
    let (mut place, bulk) = (Place::new(world, "minute", &[])?, Bulk::new()?);
    let mut shell = Shell::start(&place)?;
    shell.types("echo before-$((6*7))")?;
    shell.shows("before-42")?;
    // So far away neither transfer is over before the other has begun, however fast the machine.
    place.relay.delay(FAR);
    let mut upload = bulk.up(place.user.quiet_ssh().arg(place.target()))?;
    let mut download = bulk.down(place.user.quiet_ssh().arg(place.target()))?;
    place.relay.stall(true);
    place.relay.delay(Duration::ZERO);
    let stalled = Instant::now();
    shell.types("echo during-$((6*7))")?;
    let out = |tunnel: &serde_json::Value| tunnel["state"] == "disconnected" && stalled.elapsed() >= MINUTE;
    tunnel(&mut place.workspace, "a minute without a tunnel", MINUTE + SOON, out)?;
    ensure!(upload.runs()? && download.runs()?, "a transfer was over before the network was back");
    place.relay.stall(false);
    shell.shows("during-42")?;
    shell.types("exit 7")?;
    ensure!(shell.child.wait()?.code() == Some(7));
    upload.finish()?;
    download.finish()
}

/// `cat` gives back what it gets, and every tunnel is killed while that is on its way.
fn kills(world: &Stack) -> Result<()> {
    let mut place = Place::new(world, "kills", &[])?;
    tunnel(&mut place.workspace, "QUIC", SOON, over("quic"))?;
    let sent: Arc<[u8]> = (0..(KILLS + 2) * STEP).map(|n| (n / 253 + n) as u8).collect();
    let echo = Through::start(place.user.quiet_ssh().arg(place.target()).arg("cat"), sent.clone())?;
    for kill in 1..=KILLS {
        echo.came(kill * STEP)?;
        let next = if kill % 2 == 1 { "websocket" } else { "quic" };
        place.relay.udp(next == "quic");
        place.relay.tcp(next == "websocket");
        place.relay.cut();
        tunnel(&mut place.workspace, next, BACK, over(next))?;
    }
    ensure!(echo.end()? == *sent, "other bytes came back");
    Ok(())
}

/// Bytes on their way through a program that gives them back.
struct Through {
    child: Child,
    came: watch::Receiver<usize>,
    feed: JoinHandle<io::Result<()>>,
    fetch: JoinHandle<io::Result<Vec<u8>>>,
}

impl Through {
    fn start(command: &mut Command, sent: Arc<[u8]>) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (mut input, mut output) = (child.stdin.take().context("no input")?, child.stdout.take().context("no output")?);
        let feed = thread::spawn(move || input.write_all(&sent));
        let (moved, came) = watch::channel(0);
        let fetch = thread::spawn(move || {
            let (mut got, mut piece) = (Vec::new(), vec![0; 1 << 16]);
            loop {
                match output.read(&mut piece)? {
                    0 => return Ok(got),
                    length => got.extend_from_slice(&piece[..length]),
                }
                moved.send_replace(got.len());
            }
        });
        Ok(Self { child, came, feed, fetch })
    }

    /// Waits until so many bytes have come back.
    fn came(&self, wanted: usize) -> Result<()> {
        let mut came = self.came.clone();
        let wait = async { time::timeout(BACK, came.wait_for(|came| *came >= wanted)).await.map(drop) };
        runtime()?.block_on(wait).with_context(|| format!("{wanted} bytes did not come back"))
    }

    fn end(mut self) -> Result<Vec<u8>> {
        self.feed.join().map_err(|_| anyhow!("nobody fed it"))??;
        let got = self.fetch.join().map_err(|_| anyhow!("nobody read it"))??;
        ensure!(self.child.wait()?.success(), "it failed");
        Ok(got)
    }
}

/// A NAT gives a flow that was silent for too long to the next who asks, and the next packet goes on from another port.
fn idle(world: &Stack) -> Result<()> {
    let mut place = Place::new(world, "hasty", &["--transport", "quic"])?;
    place.relay.forget_after(Some(FORGETFUL));
    let before = tunnel(&mut place.workspace, "QUIC", SOON, over("quic"))?;
    let (begun, long) = (Instant::now(), FORGETFUL * 2 + SOON);
    tunnel(&mut place.workspace, "a while without a user", long + SOON, |_| begun.elapsed() >= long)?;
    place.user.run(&place.target(), "echo still here")?.printed("still here\n")?;
    let after = tunnel(&mut place.workspace, "QUIC", SOON, over("quic"))?;
    ensure!(before == after, "{before} became {after}");
    Ok(())
}

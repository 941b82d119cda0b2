//! More of everything than is served, on one connection.

use super::{Case, Door};
use anyhow::{Result, bail, ensure};
use e2e::raw::{Heard, Manners, Message, Raw, message, number};

pub(super) const CASES: &[Case] = &[
    ("10,000 channels at once", channels),
    ("10,000 requests at once", requests),
    ("1,000 variables and 100 terminals", variables),
    ("1,000 listeners", listeners),
    ("10,000 messages that are ignored", ignored),
    ("10,000 messages of nobody's", nobodys),
    ("the same while keys are exchanged", nobodys_midway),
    ("more than a stalled program takes", stalled),
    ("a greeting that is never read", unread),
];

/// Sent before answers are read: their answers fit in what lies between.
const BATCH: u32 = 250;

/// Sends `count` of them and counts what is answered, by message number.
fn pour(raw: &mut Raw, count: u32, make: impl Fn(u32) -> Message) -> Result<[u32; 256]> {
    let mut answers = [0; 256];
    for batch in (0..count).collect::<Vec<_>>().chunks(BATCH as usize) {
        raw.send_all(batch.iter().map(|n| make(*n)))?;
        for _ in batch {
            match raw.hear()? {
                Heard::Packet(packet) => answers[usize::from(packet.first().copied().unwrap_or_default())] += 1,
                other => bail!("{other:?}"),
            }
        }
    }
    Ok(answers)
}

fn channels(door: &Door) -> Result<()> {
    let mut raw = door.entered()?;
    let answers = pour(&mut raw, 10_000, |n| message::open("session", n))?;
    let (taken, refused) =
        (answers[usize::from(number::CHANNEL_OPEN_CONFIRMATION)], answers[usize::from(number::CHANNEL_OPEN_FAILURE)]);
    let bound = if door.is_jump() { 128 } else { 256 };
    ensure!(taken == bound && taken + refused == 10_000, "{taken} taken, {refused} refused");
    raw.expect_answers()
}

fn requests(door: &Door) -> Result<()> {
    let mut raw = door.entered()?;
    let answers = pour(&mut raw, 10_000, |_| Message::new(number::GLOBAL_REQUEST).string("keepalive@openssh.com").flag(true))?;
    ensure!(answers[usize::from(number::REQUEST_FAILURE)] == 10_000);
    raw.expect_answers()
}

fn variables(door: &Door) -> Result<()> {
    let mut raw = door.entered()?;
    let theirs = raw.session_channel(1)?;
    let value = "v".repeat(1000);
    let answers = pour(&mut raw, 1000, |n| message::request(theirs, "env").string(format!("LC_{n}")).string(&value))?;
    let set = answers[usize::from(number::CHANNEL_SUCCESS)];
    ensure!(set == if door.is_jump() { 0 } else { 128 }, "{set} are set");
    let answers =
        pour(&mut raw, 100, |_| message::request(theirs, "pty-req").string("vt100").u32(80).u32(24).u32(0).u32(0).string([0]))?;
    let made = answers[usize::from(number::CHANNEL_SUCCESS)];
    ensure!(door.is_jump() || made == 1, "{made} terminals");
    raw.expect_answers()
}

fn listeners(door: &Door) -> Result<()> {
    let mut raw = door.entered()?;
    let answers = pour(&mut raw, 1000, |_| {
        Message::new(number::GLOBAL_REQUEST).string("tcpip-forward").flag(true).string("127.0.0.1").u32(0)
    })?;
    let made = answers[usize::from(number::REQUEST_SUCCESS)];
    ensure!(made == if door.is_jump() { 0 } else { 64 }, "{made} listeners");
    raw.expect_answers()
}

fn ignored(door: &Door) -> Result<()> {
    let mut raw = door.entered()?;
    let text = "x".repeat(1000);
    let asides = [number::IGNORE, number::UNIMPLEMENTED, number::DEBUG];
    raw.send_all((0..10_000).map(|n| Message::new(asides[n % 3]).string(&text)))?;
    raw.expect_answers()
}

/// RFC 4253 section 11.4: each is answered, with its place in the sequence.
fn nobodys(door: &Door) -> Result<()> {
    let mut raw = door.entered()?;
    let kinds = [8, 29, 51, 62, 79, 83, 101, 200, 255];
    let answers = pour(&mut raw, 10_000, |n| Message::new(kinds[n as usize % kinds.len()]).string("?"))?;
    ensure!(answers[usize::from(number::UNIMPLEMENTED)] == 10_000);
    raw.expect_answers()
}

/// Answers have to wait then, and a client that never ends the exchange would have them pile up.
fn nobodys_midway(door: &Door) -> Result<()> {
    let mut raw = door.entered()?;
    raw.send(Manners::strict().kexinit())?;
    raw.expect(number::KEXINIT)?;
    for _ in 0..1000 {
        if raw.send(Message::new(200).string("?")).is_err() {
            return Ok(());
        }
    }
    raw.expect_end().map(drop)
}

/// What OpenSSH sends ahead of its window at most is nothing, and a program that reads nothing gives none: a client that
/// sends on is ended before it costs more than its back-log's mark.
fn stalled(door: &Door) -> Result<()> {
    if door.is_jump() {
        return Ok(());
    }
    let mut raw = door.entered()?;
    let theirs = raw.session_channel(1)?;
    raw.send(message::request(theirs, "exec").string("exec sleep 1000"))?;
    raw.expect(number::CHANNEL_SUCCESS)?;
    let piece = vec![b'x'; 32 << 10];
    for _ in 0..(96 << 20) / piece.len() {
        if raw.send(message::data(theirs, &piece)).is_err() {
            return Ok(());
        }
    }
    raw.expect_end().map(drop)
}

/// With no window at all, and a connection that is read no more.
fn unread(door: &Door) -> Result<()> {
    let mut raw = door.entered()?;
    for n in 0..20 {
        raw.send(Message::new(number::CHANNEL_OPEN).string("session").u32(n).u32(0).u32(1))?;
        let theirs = message::theirs(&raw.expect(number::CHANNEL_OPEN_CONFIRMATION)?, n)?;
        let what =
            if door.is_jump() { message::request(theirs, "shell") } else { message::request(theirs, "exec").string("yes") };
        raw.send(what)?;
        raw.expect(number::CHANNEL_SUCCESS)?;
    }
    raw.expect_answers()
}

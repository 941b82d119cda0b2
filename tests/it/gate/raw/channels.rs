//! After the login: channels that nobody opened, answers that nobody asked for, and windows that are not kept.

use super::{Case, Door};
use anyhow::{Context, Result, bail, ensure};
use e2e::raw::{Heard, Message, Raw, message, number};

pub(super) const CASES: &[Case] = &[
    ("data and requests for channels that do not exist", unknown),
    ("a confirmation of a channel that nobody opened", unopened),
    ("a confirmation of the client's own channel", own),
    ("a refusal of the client's own channel", own_refused),
    ("answers to no request", unasked),
    ("a window that is opened beyond 2^32", wide),
    ("a channel whose packets hold nothing", no_packets),
    ("data beyond the largest packet", big_packet),
    ("data after the end of data", after_end),
    ("a channel that is closed twice", closed_twice),
    ("a server's kinds of channel", servers_kinds),
    ("a channel of a kind that is 200 kB long", |door| refused_kind(door, &"k".repeat(200 << 10))),
    ("a channel of no kind", |door| refused_kind(door, "")),
    ("requests of no kind", odd_requests),
    ("requests for what has to be told apart by case", |door| odd_global(door, "TCPIP-FORWARD")),
    ("a listener on no port and sockets on no path", listeners),
    ("a farewell, and then nothing", farewell),
    ("an end without a farewell", |door| door.entered().map(drop)),
];

/// sshd ends such a connection. russh passes them over: a client may have sent them before it heard of our close.
fn unknown(door: &Door) -> Result<()> {
    let mut raw = door.entered()?;
    for theirs in [0, 1, 7, u32::MAX] {
        raw.send_all([
            message::data(theirs, b"x"),
            message::about(number::CHANNEL_EXTENDED_DATA, theirs).u32(1).string("x"),
            message::about(number::CHANNEL_WINDOW_ADJUST, theirs).u32(1),
            message::about(number::CHANNEL_EOF, theirs),
            message::request(theirs, "exec").string("id"),
            message::about(number::CHANNEL_CLOSE, theirs),
        ])?;
    }
    raw.expect_answers()
}

fn unopened(door: &Door) -> Result<()> {
    let mut raw = door.entered()?;
    raw.send(message::about(number::CHANNEL_OPEN_CONFIRMATION, 5).u32(1).u32(1 << 20).u32(1 << 15))?;
    raw.expect_end().map(drop)
}

fn own(door: &Door) -> Result<()> {
    let mut raw = door.entered()?;
    let theirs = raw.session_channel(1)?;
    raw.send(message::about(number::CHANNEL_OPEN_CONFIRMATION, theirs).u32(1).u32(1 << 20).u32(1 << 15))?;
    raw.expect_end().map(drop)
}

/// It only takes its own channel away, or its own connection.
fn own_refused(door: &Door) -> Result<()> {
    let mut raw = door.entered()?;
    let theirs = raw.session_channel(1)?;
    raw.send(message::about(number::CHANNEL_OPEN_FAILURE, theirs).u32(1).string("no").string(""))?;
    raw.send_all([message::data(theirs, b"x"), message::request(theirs, "exec").string("id")])?;
    answers_or_ended(&mut raw)
}

fn unasked(door: &Door) -> Result<()> {
    let mut raw = door.entered()?;
    let theirs = raw.session_channel(1)?;
    for _ in 0..100 {
        raw.send_all([
            message::about(number::CHANNEL_SUCCESS, theirs),
            message::about(number::CHANNEL_FAILURE, theirs),
            message::about(number::CHANNEL_FAILURE, 77),
            Message::new(number::REQUEST_SUCCESS),
            Message::new(number::REQUEST_SUCCESS).u32(2222),
            Message::new(number::REQUEST_FAILURE),
            message::about(number::CHANNEL_OPEN_FAILURE, 77).u32(1).string("no").string(""),
        ])?;
    }
    raw.expect_answers()
}

fn wide(door: &Door) -> Result<()> {
    let mut raw = door.entered()?;
    let theirs = raw.session_channel(1)?;
    raw.send_all((0..3).map(|_| message::about(number::CHANNEL_WINDOW_ADJUST, theirs).u32(u32::MAX)))?;
    answers_or_ended(&mut raw)
}

fn no_packets(door: &Door) -> Result<()> {
    let mut raw = door.entered()?;
    raw.send(Message::new(number::CHANNEL_OPEN).string("session").u32(1).u32(1 << 20).u32(0))?;
    answers_or_ended(&mut raw)
}

fn big_packet(door: &Door) -> Result<()> {
    let mut raw = door.entered()?;
    let theirs = raw.session_channel(1)?;
    raw.send(message::data(theirs, &vec![b'x'; 32 << 10]))?;
    raw.expect_answers()?;
    raw.send(message::data(theirs, &vec![b'x'; (32 << 10) + 1]))?;
    raw.expect_end().map(drop)
}

fn after_end(door: &Door) -> Result<()> {
    let mut raw = door.entered()?;
    let theirs = raw.session_channel(1)?;
    raw.send_all([
        message::about(number::CHANNEL_EOF, theirs),
        message::data(theirs, b"x"),
        message::about(number::CHANNEL_EOF, theirs),
    ])?;
    answers_or_ended(&mut raw)
}

fn closed_twice(door: &Door) -> Result<()> {
    let mut raw = door.entered()?;
    let theirs = raw.session_channel(1)?;
    raw.send_all((0..3).map(|_| message::about(number::CHANNEL_CLOSE, theirs)))?;
    let closed = raw.expect(number::CHANNEL_CLOSE)?;
    ensure!(message::u32_at(&closed, 1)? == 1);
    raw.expect_answers()
}

fn servers_kinds(door: &Door) -> Result<()> {
    let mut raw = door.entered()?;
    raw.open("x11", 1, |open| open.string("127.0.0.1").u32(6000))?;
    refused(&mut raw, 1)?;
    raw.open("forwarded-tcpip", 2, |open| open.string("127.0.0.1").u32(22).string("127.0.0.1").u32(1))?;
    refused(&mut raw, 2)?;
    for kind in ["auth-agent@openssh.com", "tun@openssh.com", "tun", "Session", "session\0"] {
        refused_kind(door, kind)?;
    }
    raw.expect_answers()
}

/// russh 0.65 says so twice: its own refusal, and that of the handle which it made for nobody.
fn refused_kind(door: &Door, kind: &str) -> Result<()> {
    let mut raw = door.entered()?;
    raw.open(kind, 9, |open| open)?;
    refused(&mut raw, 9)?;
    answers_or_ended(&mut raw)
}

fn refused(raw: &mut Raw, ours: u32) -> Result<()> {
    let (channel, _, words) = message::failure(&raw.expect(number::CHANNEL_OPEN_FAILURE)?)?;
    ensure!(channel == ours && !words.is_empty(), "{channel}: {words}");
    Ok(())
}

fn odd_requests(door: &Door) -> Result<()> {
    let mut raw = door.entered()?;
    let theirs = raw.session_channel(1)?;
    let requests = [
        message::request(theirs, ""),
        message::request(theirs, &"r".repeat(200 << 10)),
        message::request(theirs, "exit-status").u32(0),
        message::request(theirs, "auth-agent-req@drawbridge"),
        message::request(theirs, "subsystem").string("s".repeat(200 << 10)),
        message::request(theirs, "env").string("LD_PRELOAD").string("/tmp/evil.so"),
        message::request(theirs, "env").string("LC_\0").string("\n"),
        message::request(theirs, "window-change").u32(u32::MAX).u32(u32::MAX).u32(0).u32(0),
        message::request(theirs, "signal").string("KILL"),
        message::request(theirs, "signal").string("SIGKILL\0"),
    ];
    // A jump host answers a subsystem as it does a command, and takes no note of signals.
    let silent = |n: usize| door.is_jump() && matches!(n, 4 | 8 | 9);
    for request in requests.into_iter().enumerate().filter_map(|(n, request)| (!silent(n)).then_some(request)) {
        raw.send(request)?;
        raw.expect(number::CHANNEL_FAILURE)?;
    }
    raw.expect_answers()
}

fn odd_global(door: &Door, kind: &str) -> Result<()> {
    let mut raw = door.entered()?;
    raw.send(Message::new(number::GLOBAL_REQUEST).string(kind).flag(true).string("").u32(0))?;
    raw.expect(number::REQUEST_FAILURE)?;
    raw.expect_answers()
}

fn listeners(door: &Door) -> Result<()> {
    let mut raw = door.entered()?;
    for (address, port) in [("127.0.0.1", 65_536), ("127.0.0.1", u32::MAX)] {
        raw.send(Message::new(number::GLOBAL_REQUEST).string("tcpip-forward").flag(true).string(address).u32(port))?;
        raw.expect(number::REQUEST_FAILURE).with_context(|| format!("{address}:{port}"))?;
    }
    let long = "/tmp/".to_owned() + &"s".repeat(4096);
    for path in ["", "/nonexistent/socket", "/tmp/a\0b", &long] {
        raw.send(Message::new(number::GLOBAL_REQUEST).string("streamlocal-forward@openssh.com").flag(true).string(path))?;
        raw.expect(number::REQUEST_FAILURE).with_context(|| path.escape_debug().take(80).collect::<String>())?;
    }
    raw.expect_answers()
}

/// Who says goodbye is gone, even if it holds its end open.
fn farewell(door: &Door) -> Result<()> {
    let mut raw = door.entered()?;
    raw.send(Message::new(number::DISCONNECT).u32(11).string("bye").string(""))?;
    raw.expect_close()?;
    raw.expect_deaf()
}

/// Both are safe; what would not be is a connection that does neither.
pub(in crate::gate) fn answers_or_ended(raw: &mut Raw) -> Result<()> {
    // Fails only where it has been ended already.
    let _ = raw.send(Message::new(number::GLOBAL_REQUEST).string("nothing@drawbridge").flag(true));
    loop {
        match raw.hear()? {
            Heard::End(_) => return Ok(()),
            Heard::Packet(packet) if packet.first() == Some(&number::REQUEST_FAILURE) => return Ok(()),
            Heard::Packet(_) => {}
            Heard::Nothing => bail!("it neither answers nor has been ended"),
        }
    }
}

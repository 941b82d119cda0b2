//! Messages that are cut off, too long, or say something that cannot be, after the login.

use super::{Case, Door, channels::answers_or_ended};
use anyhow::{Context, Result};
use e2e::raw::{Message, message, number};

pub(super) const CASES: &[Case] =
    &[("forty malformed messages after the login", all), ("the same, cut off at every byte", cut_off)];

/// On a connection whose session channel has the server's number `theirs`.
fn messages(theirs: u32) -> Vec<Message> {
    let (long, utf8) = (u32::MAX, b"\xc3\x28");
    let channel = |kind: u8| message::about(kind, theirs);
    let request = |kind: &str| message::request(theirs, kind);
    let global = |kind: &str| Message::new(number::GLOBAL_REQUEST).string(kind).flag(true);
    let modes = |bytes: &[u8]| request("pty-req").string("vt100").u32(80).u32(24).u32(0).u32(0).string(bytes);
    vec![
        Message::new(number::CHANNEL_OPEN),
        Message::new(number::CHANNEL_OPEN).u32(long),
        Message::new(number::CHANNEL_OPEN).string(utf8).u32(1).u32(1).u32(1),
        Message::new(number::CHANNEL_OPEN).string("session").u32(9).u32(1 << 20),
        message::open("session", 9).raw(b"more"),
        message::open("direct-tcpip", 9),
        message::open("direct-tcpip", 9).u32(long).raw(b"host"),
        message::open("direct-tcpip", 9).string(utf8).u32(22).string("").u32(0),
        message::direct(9, "796636", 22).raw(b"more"),
        message::open("direct-streamlocal@openssh.com", 9).string("/x"),
        channel(number::CHANNEL_DATA),
        channel(number::CHANNEL_DATA).u32(long).raw(b"data"),
        channel(number::CHANNEL_DATA).string("data").raw(b"more"),
        channel(number::CHANNEL_EXTENDED_DATA).u32(1),
        channel(number::CHANNEL_EXTENDED_DATA).u32(long).string("data"),
        channel(number::CHANNEL_WINDOW_ADJUST),
        channel(number::CHANNEL_WINDOW_ADJUST).raw(&[1, 2, 3]),
        channel(number::CHANNEL_EOF).raw(b"more"),
        channel(number::CHANNEL_CLOSE).raw(b"more"),
        Message::new(number::CHANNEL_CLOSE).raw(&[0, 0]),
        channel(number::CHANNEL_REQUEST),
        channel(number::CHANNEL_REQUEST).string(utf8).flag(true),
        channel(number::CHANNEL_REQUEST).string("shell"),
        channel(number::CHANNEL_REQUEST).string("shell").raw(&[0xff]),
        request("shell").raw(b"more"),
        request("exec"),
        request("exec").u32(long).raw(b"id"),
        request("env").string("LANG"),
        request("env").string(utf8).string(utf8),
        request("subsystem").string(utf8),
        request("signal").string(utf8),
        request("window-change").u32(80),
        modes(&[1]),
        modes(&[1, 0, 0, 0]),
        modes(&[0, 0]),
        modes(&[129, 0, 0, 0, 1].repeat(200)),
        modes(&[255, 255, 255, 255, 255]),
        request("x11-req").flag(true).string("").string("").u32(0).raw(b"more"),
        request("xon-xoff").flag(true),
        Message::new(number::GLOBAL_REQUEST),
        Message::new(number::GLOBAL_REQUEST).string(utf8).flag(true),
        global("tcpip-forward"),
        global("tcpip-forward").u32(long).u32(0),
        global("cancel-tcpip-forward").string("a"),
        global("streamlocal-forward@openssh.com"),
        global("hostkeys-prove-00@openssh.com").string("not a key"),
        channel(number::CHANNEL_OPEN_CONFIRMATION),
        channel(number::CHANNEL_OPEN_FAILURE).u32(1).u32(long),
        Message::new(number::DISCONNECT),
        Message::new(number::DISCONNECT).u32(2).u32(long),
        Message::new(number::KEXINIT).raw(&[1; 20]),
        Message::new(number::KEX_ECDH_INIT),
        Message::new(number::NEWKEYS),
        Message::new(0),
        Message::new(255).raw(&[255; 1000]),
        Message::bare(),
    ]
}

fn all(door: &Door) -> Result<()> {
    for n in 0..messages(0).len() {
        let mut raw = door.entered()?;
        let theirs = raw.session_channel(1)?;
        let message = messages(theirs).swap_remove(n);
        raw.send(message)?;
        answers_or_ended(&mut raw).with_context(|| format!("number {n}"))?;
    }
    Ok(())
}

/// Of one message of each kind; none of them does anything when it is whole either.
fn cut_off(door: &Door) -> Result<()> {
    let whole = message::request(u32::MAX, "pty-req").string("vt100").u32(80).u32(24).u32(0).u32(0).string([0]).bytes();
    for end in (0..whole.len()).step_by(3) {
        let mut raw = door.entered()?;
        raw.send(Message::bare().raw(&whole[..end]))?;
        answers_or_ended(&mut raw).with_context(|| format!("{end} bytes"))?;
    }
    Ok(())
}

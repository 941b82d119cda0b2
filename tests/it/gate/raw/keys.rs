//! Before and at the exchange of keys: lengths, padding, tags, and messages out of turn.

use super::{Case, Door};
use anyhow::{Result, bail, ensure};
use e2e::raw::{Half, Heard, Manners, Message, Raw, number};
use std::{
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

pub(super) const CASES: &[Case] = &[
    ("a packet of 2^32-1 bytes", |door| thrown(door, &u32::MAX.to_be_bytes())),
    ("a packet of a little more than is taken", |door| thrown(door, &(300_u32 << 10).to_be_bytes())),
    ("a packet of no bytes", |door| thrown(door, &[0; 4])),
    ("packets without a message, and then one of 2^32-1 bytes", |door| {
        thrown(door, &[&[0, 0, 0, 1, 0].repeat(1000), &[0xff; 4][..]].concat())
    }),
    ("more padding than packet", |door| thrown(door, &[&[0, 0, 0, 12, 255][..], &[20; 11]].concat())),
    ("nothing but padding", |door| thrown(door, &[&[0, 0, 0, 12, 12][..], &[0; 11]].concat())),
    ("an enciphered packet of 2^32-1 bytes", |door| thrown_later(door, &[0xff; 64])),
    ("an enciphered packet of no bytes", |door| thrown_later(door, &[0; 64])),
    ("more padding than enciphered packet", |door| content(door, &[&[200][..], &[2; 15]].concat())),
    ("nothing but padding, enciphered", |door| content(door, &[&[16][..], &[0; 15]].concat())),
    ("a wrong tag", wrong_tag),
    ("256 KB of a banner", banner),
    ("the protocol's version 1", |door| line(door, "SSH-1.5-raw\r\n")),
    ("no identification but a request of HTTP", |door| line(door, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")),
    ("an identification with a NUL and no end", |door| line(door, &"SSH-2.0-\0".repeat(1000))),
    ("KEXINIT a hundred times", kexinits),
    ("NEWKEYS at once", |door| first(door, Message::new(number::NEWKEYS))),
    ("a point before KEXINIT", |door| first(door, Half::new()?.message())),
    ("a message that is ignored, before a strict KEXINIT", ignored_before),
    ("a message that is ignored, after a strict KEXINIT", ignored_after),
    ("a service in place of NEWKEYS", no_newkeys),
    ("no point", |door| point(door, &[])),
    ("a short point", |door| point(door, &[9; 31])),
    ("the point of order one", |door| point(door, &[0; 32])),
    ("a point of 64 kB", |door| point(door, &[9; 64 << 10])),
    ("compression and nothing else", |door| manners(door, Manners { compression: "zlib@openssh.com,zlib", ..Manners::strict() })),
    ("SHA-1 and nothing else", |door| manners(door, Manners { methods: "diffie-hellman-group14-sha1", ..Manners::strict() })),
    ("a name list of 200 kB", many_names),
    ("a farewell amid the exchange", farewell),
    ("keys changed, and changed again before the first change is done", change_twice),
    ("keys changed again and again before the login", change_early),
    ("keys changed again and again after it", change_often),
    ("a channel asked for while keys change", open_amid_change),
    ("a name for extensions that are four billion", extensions),
];

/// Those who come to an end by the deadline alone, each on a thread: without a word, and with one byte a second.
pub(super) fn slow(door: &Door) -> Vec<JoinHandle<Result<()>>> {
    let silent = door.again();
    let slow = door.again();
    vec![thread::spawn(move || silent.knock()?.expect_close()), thread::spawn(move || trickle(&slow))]
}

fn trickle(door: &Door) -> Result<()> {
    let (mut raw, begun) = (door.knock()?, Instant::now());
    for byte in b"SSH-2.0-raw".iter().cycle().take(40) {
        if raw.throw(&[*byte]).is_err() || raw.is_closed_within(Duration::from_secs(1))? {
            ensure!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
            return Ok(());
        }
    }
    bail!("a byte a second is an identification")
}

fn thrown(door: &Door, bytes: &[u8]) -> Result<()> {
    let mut raw = door.greeted()?;
    raw.throw(bytes)?;
    gone(&mut raw)
}

fn thrown_later(door: &Door, bytes: &[u8]) -> Result<()> {
    let mut raw = door.met()?;
    raw.throw(bytes)?;
    gone(&mut raw)
}

/// It is closed for good: a half that only says nothing more could be held for ever.
fn gone(raw: &mut Raw) -> Result<()> {
    raw.expect_close()?;
    raw.expect_deaf()
}

fn content(door: &Door, content: &[u8]) -> Result<()> {
    let mut raw = door.met()?;
    raw.send_content(content)?;
    gone(&mut raw)
}

fn wrong_tag(door: &Door) -> Result<()> {
    let mut raw = door.met()?;
    let mut packet = raw.sealed(Message::new(number::SERVICE_REQUEST).string("ssh-userauth"))?;
    if let Some(last) = packet.last_mut() {
        *last ^= 1;
    }
    raw.throw(&packet)?;
    gone(&mut raw)
}

fn banner(door: &Door) -> Result<()> {
    let mut raw = door.knock()?;
    let line = [&[b'#'; 200][..], b"\r\n"].concat();
    // The server is free to be gone before all of it is sent.
    for _ in 0..(256 << 10) / line.len() {
        if raw.throw(&line).is_err() {
            return Ok(());
        }
    }
    raw.expect_close()
}

fn line(door: &Door, line: &str) -> Result<()> {
    let mut raw = door.knock()?;
    raw.throw(line.as_bytes())?;
    raw.expect_close()
}

fn first(door: &Door, message: Message) -> Result<()> {
    let mut raw = door.greeted()?;
    raw.send(message)?;
    raw.expect_end().map(drop)
}

fn kexinits(door: &Door) -> Result<()> {
    let mut raw = door.greeted()?;
    raw.send_all((0..100).map(|_| Manners::plain().kexinit()))?;
    raw.expect_end().map(drop)
}

fn ignored_before(door: &Door) -> Result<()> {
    let mut raw = door.greeted()?;
    raw.send_all([Message::new(number::IGNORE).string("x"), Manners::strict().kexinit()])?;
    raw.expect_end().map(drop)
}

fn ignored_after(door: &Door) -> Result<()> {
    let mut raw = door.greeted()?;
    let ignored = Message::new(number::IGNORE).string("x");
    raw.send_all([Manners::strict().kexinit(), ignored, Half::new()?.message()])?;
    raw.expect_end().map(drop)
}

fn no_newkeys(door: &Door) -> Result<()> {
    let mut raw = door.greeted()?;
    let service = Message::new(number::SERVICE_REQUEST).string("ssh-userauth");
    raw.send_all([Manners::plain().kexinit(), Half::new()?.message(), service])?;
    ended_without(&mut raw, number::SERVICE_ACCEPT)
}

/// Whatever of the exchange is still on its way.
fn ended_without(raw: &mut Raw, answer: u8) -> Result<()> {
    loop {
        match raw.hear()? {
            Heard::End(_) => return Ok(()),
            Heard::Packet(packet) if packet.first() != Some(&answer) => {}
            other => bail!("{other:?}"),
        }
    }
}

fn point(door: &Door, point: &[u8]) -> Result<()> {
    let mut raw = door.greeted()?;
    raw.send_all([Manners::strict().kexinit(), Message::new(number::KEX_ECDH_INIT).string(point)])?;
    raw.expect(number::KEXINIT)?;
    ended_at_once(&mut raw)
}

fn manners(door: &Door, manners: Manners) -> Result<()> {
    let mut raw = door.greeted()?;
    raw.send_all([manners.kexinit(), Half::new()?.message()])?;
    raw.expect(number::KEXINIT)?;
    ended_at_once(&mut raw)
}

/// Nothing of the exchange is answered.
fn ended_at_once(raw: &mut Raw) -> Result<()> {
    let heard = raw.hear()?;
    ensure!(matches!(heard, Heard::End(_)), "{heard:?}");
    Ok(())
}

fn many_names(door: &Door) -> Result<()> {
    let mut raw = door.greeted()?;
    let names = Message::new(number::KEXINIT).raw(&[7; 16]).string("a,".repeat(100_000));
    raw.send((0..9).fold(names, |message, _| message.string("")).flag(false).u32(0))?;
    raw.expect(number::KEXINIT)?;
    ended_at_once(&mut raw)
}

fn farewell(door: &Door) -> Result<()> {
    let mut raw = door.greeted()?;
    raw.send_all([Manners::strict().kexinit(), Message::new(number::DISCONNECT).u32(11).string("bye").string("")])?;
    gone(&mut raw)
}

fn change_twice(door: &Door) -> Result<()> {
    let mut raw = door.entered()?;
    raw.send_all([Manners::strict().kexinit(), Manners::strict().kexinit()])?;
    raw.expect_end().map(drop)
}

fn change_early(door: &Door) -> Result<()> {
    let mut raw = door.met()?;
    for _ in 0..3 {
        raw.change_keys(&Manners::strict())?;
    }
    raw.begin_login()?;
    raw.send(Manners::strict().kexinit())?;
    gone(&mut raw)
}

fn change_often(door: &Door) -> Result<()> {
    let mut raw = door.entered()?;
    for _ in 0..10 {
        raw.change_keys(&Manners::strict())?;
    }
    raw.expect_answers()
}

fn open_amid_change(door: &Door) -> Result<()> {
    let mut raw = door.entered()?;
    raw.send_all([Manners::strict().kexinit(), e2e::raw::message::open("session", 1)])?;
    ended_without(&mut raw, number::CHANNEL_OPEN_CONFIRMATION)
}

/// Such a message is for those who asked for it: whether it is read or not, the client still gets in.
fn extensions(door: &Door) -> Result<()> {
    let mut raw = door.met()?;
    raw.send(Message::new(number::EXT_INFO).u32(u32::MAX).string("a").string("b"))?;
    raw.begin_login()?;
    let request = raw.signed("user", &door.member, &door.member, &raw.session)?;
    raw.send(request)?;
    raw.expect(number::USERAUTH_SUCCESS)?;
    raw.send_all((0..500).map(|_| Message::new(number::EXT_INFO).u32(1).string("a".repeat(10_000)).string("")))?;
    raw.expect_answers()
}

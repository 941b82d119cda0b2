//! What thousands of channels on one connection leave behind: nothing.

use super::scene::{Door, Scene};
use crate::tunnels::Echo;
use anyhow::{Context, Result, bail, ensure};
use e2e::{
    SOON, Stack,
    raw::{Heard, Message, Raw, message, number},
    within,
};
use std::{
    collections::HashMap,
    fmt,
    io::{self, copy, sink},
    net::TcpListener,
    thread,
};

/// Before the first look, so that tables and buffers have their size.
const WARM: u32 = 1000;
const MANY: u32 = 10_000;
/// With a program, or a connection to the workspace, behind each.
const HEAVY: u32 = 1000;
/// Asked for before answers are read.
const BATCH: u32 = 100;
/// Most bytes that a channel may leave behind: russh's own leftover of a channel that it closes first is ten times that.
const EACH: usize = 500;
/// What the allocator and others may take meanwhile.
const NOISE: usize = 2 << 20;

/// Channels that the jump host may have to close first, on one connection.
const LEFTOVERS: u32 = 1024;
/// An inner client that goes before it has come.
const GOODBYE: &[u8] = b"SSH-2.0-raw\r\n\0\0\0\x1c\x0a\x01\0\0\0\x0b\0\0\0\x03bye\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// What comes of each channel.
#[derive(Clone, Copy)]
enum Fate {
    /// It is refused.
    Refused,
    /// The client closes it at once.
    Closed,
    /// Both sides send what they have and its end; then the client closes it.
    Ended(&'static [u8]),
    /// The client ends and closes it while more is under way than it lets come.
    Forsaken,
    /// The client asks for a shell, is answered, and closes it after the server.
    Asked,
}

pub(super) fn jump(world: &Stack) -> Result<()> {
    let mut scene = Scene::new(world, "residue-jump")?;
    let door = scene.jump();
    let way = |n| message::direct(n, &door.workspace, 22);
    measure(&mut scene, &door, ("refused", MANY), |raw, n| {
        batches(raw, n, Fate::Refused, |n| message::direct(n, "no.where", 22))
    })?;
    measure(&mut scene, &door, ("closed", MANY), |raw, n| batches(raw, n, Fate::Closed, |n| message::open("session", n)))?;
    measure(&mut scene, &door, ("ended", HEAVY), |raw, n| batches(raw, n, Fate::Ended(GOODBYE), way))?;
    measure(&mut scene, &door, ("forsaken", HEAVY), |raw, n| batches(raw, n, Fate::Forsaken, |n| narrow(n, &door.workspace)))?;
    let daemon = &scene.place.region.daemon;
    within(SOON, "no open channel but one", || Ok(daemon.sample("drawbridge_channels")? < 2.0))?;
    Echo::start(&scene.place)?.end()?;
    measure(&mut scene, &door, ("asked", HEAVY), |raw, n| batches(raw, n, Fate::Asked, |n| message::open("session", n)))?;
    leftovers(&door, way)
}

pub(super) fn agent(world: &Stack) -> Result<()> {
    let mut scene = Scene::new(world, "residue-agent")?;
    let door = scene.agent()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port().into();
    thread::spawn(move || {
        for stream in listener.incoming() {
            copy(&mut stream?, &mut sink())?;
        }
        Ok::<_, io::Error>(())
    });
    let nowhere = |n| message::open("direct-streamlocal@openssh.com", n).string("/nonexistent").string("").u32(0);
    measure(&mut scene, &door, ("refused", MANY), |raw, n| batches(raw, n, Fate::Refused, nowhere))?;
    measure(&mut scene, &door, ("closed", MANY), |raw, n| batches(raw, n, Fate::Closed, |n| message::open("session", n)))?;
    let forward = |n| message::direct(n, "127.0.0.1", port);
    measure(&mut scene, &door, ("ended", HEAVY), |raw, n| batches(raw, n, Fate::Ended(b"to nobody"), forward))
}

/// A way for which one byte may come.
fn narrow(ours: u32, workspace: &str) -> Message {
    let open = Message::new(number::CHANNEL_OPEN).string("direct-tcpip").u32(ours).u32(1).u32(32 << 10);
    open.string(workspace).u32(22).string("127.0.0.1").u32(1)
}

/// That the door's process grows by next to nothing with `count` channels of one connection, once it has served some.
fn measure(
    scene: &mut Scene,
    door: &Door,
    (what, count): (&str, u32),
    mut play: impl FnMut(&mut Raw, u32) -> Result<()>,
) -> Result<()> {
    let mut raw = door.entered()?;
    play(&mut raw, WARM)?;
    let before = door.memory(scene)?;
    play(&mut raw, count).with_context(|| what.to_owned())?;
    // The last of them may still be on their way out.
    let bound = NOISE + EACH * count as usize;
    within(SOON, &format!("no more than {} KiB more after {count} channels, {what}", bound >> 10), || {
        scene.unharmed(what)?;
        Ok(door.memory(scene)?.saturating_sub(before) < bound)
    })?;
    raw.expect_answers()
}

fn batches(raw: &mut Raw, count: u32, fate: Fate, make: impl Fn(u32) -> Message) -> Result<()> {
    for _ in 0..count / BATCH {
        raw.send_all((0..BATCH).map(&make))?;
        let (mut theirs, mut done) = (HashMap::new(), 0);
        while done < BATCH {
            done += u32::from(is_over(raw, fate, &mut theirs)?);
        }
    }
    Ok(())
}

/// Hears one message about any of a batch's channels and does the client's part; whether that was the channel's last.
fn is_over(raw: &mut Raw, fate: Fate, server: &mut HashMap<u32, u32>) -> Result<bool> {
    let Heard::Packet(packet) = raw.hear()? else { bail!("the connection has ended") };
    let ours = message::u32_at(&packet, 1)?;
    let theirs = server.get(&ours).copied();
    match (packet.first().copied().unwrap_or_default(), fate, theirs) {
        (number::CHANNEL_OPEN_FAILURE, Fate::Refused, _) => return Ok(true),
        (number::CHANNEL_OPEN_CONFIRMATION, Fate::Closed, _) => {
            raw.send(message::about(number::CHANNEL_CLOSE, message::theirs(&packet, ours)?))?;
        }
        (number::CHANNEL_OPEN_CONFIRMATION, Fate::Ended(bytes), _) => {
            let theirs = message::theirs(&packet, ours)?;
            server.insert(ours, theirs);
            raw.send_all([message::data(theirs, bytes), message::about(number::CHANNEL_EOF, theirs)])?;
        }
        (number::CHANNEL_OPEN_CONFIRMATION, Fate::Forsaken, _) => {
            let theirs = message::theirs(&packet, ours)?;
            raw.send_all([number::CHANNEL_EOF, number::CHANNEL_CLOSE].map(|number| message::about(number, theirs)))?;
        }
        (number::CHANNEL_OPEN_CONFIRMATION, Fate::Asked, _) => {
            let theirs = message::theirs(&packet, ours)?;
            server.insert(ours, theirs);
            raw.send(message::request(theirs, "shell"))?;
        }
        (number::CHANNEL_CLOSE, Fate::Asked, Some(theirs)) => {
            server.remove(&ours);
            raw.send(message::about(number::CHANNEL_CLOSE, theirs))?;
            return Ok(true);
        }
        (number::CHANNEL_EOF, Fate::Ended(_), Some(theirs)) => {
            server.remove(&ours);
            raw.send(message::about(number::CHANNEL_CLOSE, theirs))?;
        }
        (number::CHANNEL_CLOSE, _, None) => return Ok(true),
        (number::CHANNEL_DATA | number::CHANNEL_WINDOW_ADJUST, ..) => {}
        (number::CHANNEL_SUCCESS | number::CHANNEL_REQUEST | number::CHANNEL_EOF, Fate::Asked, _) => {}
        other => bail!("{other:?}"),
    }
    Ok(false)
}

impl fmt::Debug for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "refused",
            Self::Closed => "closed",
            Self::Ended(_) => "ended",
            Self::Forsaken => "forsaken",
            Self::Asked => "asked",
        })
    }
}

/// What the workspace's server breaks off has to be closed by the jump host: as often as it is ready to remember.
fn leftovers(door: &Door, way: impl Fn(u32) -> Message) -> Result<()> {
    let mut raw = door.entered()?;
    let (mut closed, mut refused) = (0, None);
    while refused.is_none() {
        ensure!(closed <= LEFTOVERS + BATCH, "{closed} are remembered");
        raw.send_all((0..BATCH).map(&way))?;
        let mut open = BATCH;
        while open > 0 {
            let Heard::Packet(packet) = raw.hear()? else { bail!("the connection has ended") };
            match packet.first().copied().unwrap_or_default() {
                number::CHANNEL_OPEN_CONFIRMATION => {
                    let ours = message::u32_at(&packet, 1)?;
                    raw.send(message::data(message::theirs(&packet, ours)?, b"no SSH\r\n"))?;
                }
                number::CHANNEL_OPEN_FAILURE => {
                    refused = Some(message::failure(&packet)?.2);
                    open -= 1;
                }
                number::CHANNEL_CLOSE => {
                    closed += 1;
                    open -= 1;
                }
                _ => {}
            }
        }
    }
    ensure!(closed >= LEFTOVERS, "{closed} are remembered");
    ensure!(refused.as_deref() == Some("too many connections over this one; open another `ssh -J`"), "{refused:?}");
    raw.expect_answers()
}

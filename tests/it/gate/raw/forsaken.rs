//! Channels that their client closes while something of them is under way: nothing is held for an agent that does not heed it.

use super::scene::{Door, Scene};
use crate::tunnels::Echo;
use anyhow::{Result, bail, ensure};
use e2e::{
    SOON, Stack,
    raw::{Heard, Raw, message, number},
    within,
};
use std::{
    io::{self, Write},
    net::{SocketAddr, TcpListener},
    thread,
    time::Duration,
};

/// Closed behind an end of file, at a server that says nothing more.
const CHANNELS: u32 = 100;
/// One packet of an upload.
const PIECE: u32 = 32 << 10;
/// Nothing goes on any more when nothing has for so long.
const STALLED: Duration = Duration::from_secs(3);
/// What a client had sent before it closed its channel is given half a minute.
const SETTLED: Duration = Duration::from_secs(60);

pub(super) fn silent(world: &Stack) -> Result<()> {
    let mut scene = Scene::new(world, "forsaken")?;
    let upstream = silence()?.to_string();
    let region = &scene.place.region;
    let workspace = world.workspace_in(region, "forsaken-silent", &["forsaken-mallory"], &["--upstream", &upstream])?;
    let mut door = scene.jump();
    door.workspace = workspace.id.clone();
    let mut raw = door.entered()?;
    end_and_close(&mut raw, &door)?;
    only_the_victims(&scene, SOON, "channels that were ended and closed")?;
    close_behind_an_upload(&mut raw, &door)?;
    raw.expect(number::CHANNEL_CLOSE)?;
    only_the_victims(&scene, SETTLED, "a channel that was closed behind an upload")?;
    scene.unharmed("closed channels at a silent agent")?;
    Echo::start(&scene.place)?.end()?;
    raw.expect_answers()
}

/// A server that says who it is, and then neither reads nor says anything.
fn silence() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream?;
            stream.write_all(b"SSH-2.0-silent\r\n")?;
            held.push(stream);
        }
        Ok::<_, io::Error>(())
    });
    Ok(address)
}

/// The daemon counts no channel but that of the session beside.
fn only_the_victims(scene: &Scene, bound: Duration, what: &str) -> Result<()> {
    let daemon = &scene.place.region.daemon;
    within(bound, &format!("an end of {what}"), || Ok(daemon.sample("drawbridge_channels")? < 2.0))
}

fn end_and_close(raw: &mut Raw, door: &Door) -> Result<()> {
    raw.send_all((0..CHANNELS).map(|n| message::direct(n, &door.workspace, 22)))?;
    let mut closed = 0;
    while closed < CHANNELS {
        let Heard::Packet(packet) = raw.hear()? else { bail!("the connection has ended") };
        match packet.first().copied().unwrap_or_default() {
            number::CHANNEL_OPEN_CONFIRMATION => {
                let theirs = message::u32_at(&packet, 5)?;
                raw.send_all([number::CHANNEL_EOF, number::CHANNEL_CLOSE].map(|number| message::about(number, theirs)))?;
            }
            number::CHANNEL_OPEN_FAILURE => bail!("{:?}", message::failure(&packet)?),
            number::CHANNEL_CLOSE => closed += 1,
            _ => {}
        }
    }
    Ok(())
}

/// Of which the agent takes no more.
fn close_behind_an_upload(raw: &mut Raw, door: &Door) -> Result<()> {
    raw.send(message::direct(CHANNELS, &door.workspace, 22))?;
    let confirmed = raw.expect(number::CHANNEL_OPEN_CONFIRMATION)?;
    let (theirs, mut room) = (message::theirs(&confirmed, CHANNELS)?, message::u32_at(&confirmed, 9)?);
    loop {
        while room >= PIECE {
            raw.send(message::data(theirs, &[0; PIECE as usize]))?;
            room -= PIECE;
        }
        match raw.hear_within(STALLED)? {
            Heard::Packet(packet) if packet.first() == Some(&number::CHANNEL_WINDOW_ADJUST) => {
                room += message::u32_at(&packet, 5)?
            }
            Heard::Packet(packet) => ensure!(packet.first() == Some(&number::CHANNEL_DATA), "{packet:?}"),
            Heard::Nothing => return raw.send(message::about(number::CHANNEL_CLOSE, theirs)),
            Heard::End(words) => bail!("the connection has ended: {words:?}"),
        }
    }
}

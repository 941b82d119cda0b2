//! A download beside which somebody types: from then on the agent has little of it under way, whatever the window allows.

use super::scene::Scene;
use anyhow::{Context, Result, bail, ensure};
use e2e::{
    Stack,
    raw::{Heard, Raw, message, number},
};
use std::{thread, time::Duration};

/// Our channels' numbers, and the window that each gives.
const BULK: u32 = 0;
const TERMINAL: u32 = 1;
const WINDOW: usize = 2 << 20;
/// OpenSSH's client makes room in such steps.
const STEP: usize = 96 << 10;
/// As long a slow one takes for each.
const EACH: Duration = Duration::from_millis(20);
/// Nothing more comes when nothing has for so long: under the time for which a keystroke counts.
const QUIET: Duration = Duration::from_secs(1);
/// A keystroke in the workspace counts for less.
const FORGOTTEN: Duration = Duration::from_millis(2500);
/// Most that may be under way here, with what the program had written by then.
const LITTLE: usize = 320 << 10;

pub(super) fn download(world: &Stack) -> Result<()> {
    let mut scene = Scene::new(world, "raw-typing")?;
    let mut raw = scene.agent()?.entered()?;
    let bulk = program(&mut raw, BULK, "cat /dev/zero")?;
    let mut under_way = WINDOW;
    ensure!(begins(&mut raw, BULK)? == WINDOW);
    // The other user's session has just been typed in.
    thread::sleep(FORGOTTEN);
    make_room(&mut raw, bulk, 10, &mut under_way)?;
    under_way += comes(&mut raw, BULK)?;
    ensure!(under_way == WINDOW, "{under_way} bytes are under way while nobody types");
    let terminal = program(&mut raw, TERMINAL, "cat")?;
    raw.send(message::data(terminal, b"k"))?;
    ensure!(begins(&mut raw, TERMINAL)? == 1);
    raw.send(message::data(terminal, b"k"))?;
    make_room(&mut raw, bulk, 20, &mut under_way)?;
    under_way += comes(&mut raw, BULK)?;
    ensure!(under_way <= LITTLE, "{under_way} bytes are under way while somebody types");
    make_room(&mut raw, bulk, 2, &mut under_way)?;
    ensure!(comes(&mut raw, BULK)? > 0, "the download stands still");
    scene.unharmed("a download beside keystrokes")
}

fn program(raw: &mut Raw, ours: u32, command: &str) -> Result<u32> {
    let theirs = raw.session_channel(ours)?;
    raw.send(message::request(theirs, "exec").string(command))?;
    Ok(theirs)
}

fn make_room(raw: &mut Raw, theirs: u32, steps: usize, under_way: &mut usize) -> Result<()> {
    *under_way -= steps * STEP;
    (0..steps).try_for_each(|_| {
        thread::sleep(EACH);
        raw.send(message::about(number::CHANNEL_WINDOW_ADJUST, theirs).u32(STEP as u32))
    })
}

/// The same of a program that has yet to start, which takes its time on a busy machine.
fn begins(raw: &mut Raw, ours: u32) -> Result<usize> {
    loop {
        match bytes_of(&raw.hear()?, ours)?.context("the program does not begin")? {
            0 => {}
            first => return Ok(first + comes(raw, ours)?),
        }
    }
}

/// Bytes that come for our channel until nothing more does.
fn comes(raw: &mut Raw, ours: u32) -> Result<usize> {
    let mut all = 0;
    while let Some(bytes) = bytes_of(&raw.hear_within(QUIET)?, ours)? {
        all += bytes;
    }
    Ok(all)
}

/// Of what was heard, for our channel; `None` where nothing was.
fn bytes_of(heard: &Heard, ours: u32) -> Result<Option<usize>> {
    match heard {
        Heard::Packet(packet) if packet.first() == Some(&number::CHANNEL_DATA) && message::u32_at(packet, 1)? == ours => {
            Ok(Some(message::u32_at(packet, 5)? as usize))
        }
        Heard::Packet(_) => Ok(Some(0)),
        Heard::Nothing => Ok(None),
        Heard::End(words) => bail!("the connection ended: {words:?}"),
    }
}

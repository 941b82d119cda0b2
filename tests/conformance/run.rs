//! Clients run to their end, within a bound, whatever they leave behind.

use anyhow::{Context, Result, bail};
use e2e::Outcome;
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

/// No client takes longer on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(5);

/// Runs `client` with `input` to its end. Files stand in for pipes: a master that stays in the background holds none open.
pub(crate) fn run(client: &mut Command, input: &[u8]) -> Result<Outcome> {
    let (out, err) = (tempfile::tempfile()?, tempfile::tempfile()?);
    client.stdin(holding(input)?).stdout(out.try_clone()?).stderr(err.try_clone()?).process_group(0);
    let mut child = client.spawn().with_context(|| format!("cannot start {client:?}"))?;
    let ended = wait(&mut child);
    let (out, err) = (contents(out)?, String::from_utf8_lossy(&contents(err)?).into_owned());
    match ended? {
        Some(status) => Ok(Outcome { status: status.code(), out, err }),
        None => bail!("{client:?} did not end within {} s; it printed {} bytes and said: {err}", PATIENCE.as_secs(), out.len()),
    }
}

/// Waits for the end, and makes one after [`PATIENCE`].
pub(crate) fn wait(child: &mut Child) -> Result<Option<ExitStatus>> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(LOOK);
    }
    // Its helpers, such as the ssh of a ProxyJump, go with it.
    let _gone = kill_process_group(Pid::from_child(child), Signal::KILL);
    child.wait()?;
    Ok(None)
}

/// Tries `attempt` until it says yes, within [`PATIENCE`].
pub(crate) fn until(what: &str, mut attempt: impl FnMut() -> bool) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if attempt() {
            return Ok(());
        }
        thread::sleep(LOOK);
    }
    bail!("not within {} s: {what}", PATIENCE.as_secs())
}

/// Bytes that look random and are the same for every side.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(next).take(length.div_ceil(8)).flatten().collect();
    bytes.truncate(length);
    bytes
}

fn holding(input: &[u8]) -> Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(input)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

fn contents(mut file: File) -> Result<Vec<u8>> {
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

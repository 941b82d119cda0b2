//! Ctrl-C, SIGTERM and SIGHUP: whatever this program started ends with it.

use crate::process;
use anyhow::Result;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};
use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process::exit,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// Exit code of a shell's command that SIGINT ended.
const INTERRUPTED: i32 = 130;

static ENDING: Mutex<Ending> = Mutex::new(Ending { files: Vec::new(), code: INTERRUPTED });

static COME: AtomicBool = AtomicBool::new(false);

struct Ending {
    files: Vec<PathBuf>,
    code: i32,
}

/// From now on a signal ends all processes, then this one.
pub fn install() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            end();
        }
    });
    Ok(())
}

/// A signal removes `file` too.
pub fn removes(file: PathBuf) {
    ENDING.lock().unwrap_or_else(PoisonError::into_inner).files.push(file);
}

/// A signal is how this program ends well: it exits with 0.
pub fn is_success() {
    ENDING.lock().unwrap_or_else(PoisonError::into_inner).code = 0;
}

/// Whether one has come, so that what ends now was meant to.
pub fn has_come() -> bool {
    COME.load(Ordering::SeqCst)
}

fn end() -> ! {
    COME.store(true, Ordering::SeqCst);
    // Its reader may be what has gone, with the terminal: no reason to leave anything running.
    let _ = writeln!(io::stderr(), "\nstopping ...");
    process::end_all();
    let ending = ENDING.lock().unwrap_or_else(PoisonError::into_inner);
    for file in &ending.files {
        let _ = fs::remove_file(file);
    }
    exit(ending.code)
}

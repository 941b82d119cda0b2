//! One harness for all end-to-end tests: a running system, users who call it, and time bounds that never sleep.

pub mod aside;
pub mod client;
pub mod comparison;
pub mod cost;
pub mod figures;
pub mod follower;
pub mod pairs;
pub mod pty;
pub mod raw;
pub mod reference;
pub mod relay;
pub mod seclusion;
pub mod wire;

pub use client::{Outcome, Session};
pub use xtask::stack::{Stack, User};

use anyhow::{Context, Result, bail};
use std::{
    os::unix::net::UnixStream,
    path::Path,
    sync::{
        Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use xtask::{build, root};

/// What is to come about within a bound does so within this.
pub const SOON: Duration = Duration::from_secs(15);

/// The system that all tests share: read for tests that bear others beside them, written for those that stop parts.
static WORLD: RwLock<Option<Stack>> = RwLock::new(None);
/// Only one thread starts it, and one failure is enough.
static STARTING: Mutex<Option<String>> = Mutex::new(None);
/// It has been started.
static STARTED: AtomicBool = AtomicBool::new(false);

/// Lends the running system to `test`, beside others.
pub fn with_world(test: fn(&Stack) -> Result<()>) -> Result<()> {
    start()?;
    let world = WORLD.read().unwrap_or_else(PoisonError::into_inner);
    world.as_ref().map_or_else(|| bail!("the system is gone"), test)
}

/// Lends it to `test` alone. It has to leave it running.
pub fn alone_with_world(test: fn(&mut Stack) -> Result<()>) -> Result<()> {
    start()?;
    let mut world = WORLD.write().unwrap_or_else(PoisonError::into_inner);
    world.as_mut().map_or_else(|| bail!("the system is gone"), test)
}

/// Stops the system, if any test started it.
pub fn end_of_world() {
    drop(WORLD.write().unwrap_or_else(PoisonError::into_inner).take());
}

fn start() -> Result<()> {
    if STARTED.load(Ordering::Acquire) {
        return Ok(());
    }
    let mut trouble = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(trouble) = &*trouble {
        bail!("the system did not start: {trouble}");
    }
    // Whoever waited for the one who started it must not wait for the world, too: that would be for the end of a test.
    if STARTED.load(Ordering::Acquire) {
        return Ok(());
    }
    let mut world = WORLD.write().unwrap_or_else(PoisonError::into_inner);
    if world.is_none() {
        *world = Some(begin().inspect_err(|fault| *trouble = Some(format!("{fault:#}")))?);
    }
    STARTED.store(true, Ordering::Release);
    Ok(())
}

fn begin() -> Result<Stack> {
    let programs = build::all(root())?;
    Stack::start(root(), &build::target(root()).join("e2e"), programs)
}

/// Calls the Unix socket at `path` as soon as somebody listens there, which is after it got its name.
pub fn answered(path: &Path) -> Result<UnixStream> {
    let mut called = None;
    within(SOON, &format!("somebody listens at {}", path.display()), || {
        called = UnixStream::connect(path).ok();
        Ok(called.is_some())
    })?;
    called.context("nobody listens")
}

/// Tries `attempt`, which takes its own time, until it says yes or `bound` is over.
pub fn within(bound: Duration, what: &str, mut attempt: impl FnMut() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < bound {
        if attempt()? {
            return Ok(());
        }
    }
    bail!("not within {} s: {what}", bound.as_secs())
}

//! What the daemon uses, and how many tunnels it has.

use anyhow::{Result, bail};
use e2e::{Stack, cost};
use std::{
    thread,
    time::{Duration, Instant},
};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// What takes longer does not come: an agent waits for 30 s at most, and a silent daemon is found out in as long.
const PATIENCE: Duration = Duration::from_secs(180);

/// Of one process, since its start.
pub(crate) struct Usage {
    /// Kilobytes.
    pub(crate) memory: f64,
    /// Seconds.
    pub(crate) cpu: f64,
}

impl Usage {
    /// The daemon's.
    pub(crate) fn of(world: &Stack) -> Result<Self> {
        let pid = world.daemon.process.pid();
        Ok(Self { memory: cost::resident(pid)? as f64 / 1e3, cpu: cost::cpu(pid)? })
    }
}

/// Waits until there are `wanted` tunnels. Returns how many there are.
pub(crate) fn until(world: &Stack, wanted: usize) -> Result<usize> {
    let begun = Instant::now();
    loop {
        let there = world.daemon.tunnels()?;
        if there >= wanted {
            return Ok(there);
        }
        if begun.elapsed() > PATIENCE {
            bail!("{there} of {wanted} tunnels after {} s", PATIENCE.as_secs());
        }
        thread::sleep(LOOK);
    }
}

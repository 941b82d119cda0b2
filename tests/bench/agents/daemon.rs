//! What the daemon uses, and how many tunnels it has.

use anyhow::{Context, Result, bail};
use e2e::Stack;
use std::{
    fs, thread,
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
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields = stat.rsplit_once(") ").context("no such process")?.1.split(' ').skip(11).take(2);
        let ticks = fields.map(str::parse::<f64>).sum::<Result<f64, _>>()?;
        let cpu = ticks / rustix::param::clock_ticks_per_second() as f64;
        Ok(Self { memory: memory.trim().trim_end_matches(" kB").parse()?, cpu })
    }
}

/// Waits until there are `wanted` tunnels. Returns how many there are.
pub(crate) fn until(world: &Stack, wanted: usize) -> Result<usize> {
    let begun = Instant::now();
    loop {
        let there = tunnels(world)?;
        if there >= wanted {
            return Ok(there);
        }
        if begun.elapsed() > PATIENCE {
            bail!("{there} of {wanted} tunnels after {} s", PATIENCE.as_secs());
        }
        thread::sleep(LOOK);
    }
}

fn tunnels(world: &Stack) -> Result<usize> {
    let (_, text) = world.daemon.ask("/metrics")?;
    let lines = text.lines().filter(|line| line.starts_with("drawbridge_tunnels{"));
    lines.map(|line| Ok(line.rsplit_once(' ').context("a sample without a value")?.1.parse::<usize>()?)).sum()
}

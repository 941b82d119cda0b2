//! What a process takes of the machine, as the kernel counts it.

use anyhow::{Context, Result};
use std::fs;

/// Bytes of memory that process `pid` uses.
pub fn resident(pid: u32) -> Result<usize> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages: usize = statm.split(' ').nth(1).context("no size")?.parse()?;
    Ok(pages * rustix::param::page_size())
}

/// Seconds of CPU that `pid` and all its children that it has waited for have used.
pub fn cpu(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("no stat")?;
    let ticks = fields.split(' ').skip(11).take(4).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
    Ok(ticks / rustix::param::clock_ticks_per_second() as f64)
}

//! What a process takes of the machine, as the kernel counts it.

use anyhow::{Context, Result, bail};
use std::{
    fs,
    time::{Duration, Instant},
};

/// Children of a server that have work to do are gone within this time.
const SETTLED: Duration = Duration::from_secs(10);

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

/// Seconds of CPU that `pid` and all its children that it has waited for have used; waits until no child is left.
pub fn settled_cpu(pid: u32) -> Result<f64> {
    let begun = Instant::now();
    while has_children(pid)? {
        if begun.elapsed() > SETTLED {
            bail!("process {pid} still has children");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    cpu(pid)
}

/// Bytes that `pid` and its descendants hold, each page they share counted once.
pub fn shared_memory(pid: u32) -> Result<f64> {
    let own = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let own = own.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
    let children = children(pid)?.into_iter().map(shared_memory).sum::<Result<f64>>()?;
    Ok(own.context("no Pss")? * 1024.0 + children)
}

fn has_children(pid: u32) -> Result<bool> {
    Ok(!children(pid)?.is_empty())
}

fn children(pid: u32) -> Result<Vec<u32>> {
    let mut children = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end meanwhile.
        let told = fs::read_to_string(thread?.path().join("children")).unwrap_or_default();
        children.extend(told.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    Ok(children)
}

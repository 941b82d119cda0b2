//! What processes cost, as the kernel counts it.

use anyhow::{Context, Result, bail};
use e2e::cost;
use std::{
    fs,
    time::{Duration, Instant},
};

/// Children of a server that have work to do are gone within this time.
const SETTLED: Duration = Duration::from_secs(10);

/// Seconds of CPU that `pid` and all its children that it has waited for have used; waits until no child is left.
pub(crate) fn cpu(pid: u32) -> Result<f64> {
    let begun = Instant::now();
    while has_children(pid)? {
        if begun.elapsed() > SETTLED {
            bail!("process {pid} still has children");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    cost::cpu(pid)
}

/// Bytes that `pid` and its descendants hold, each page they share counted once.
pub(crate) fn memory(pid: u32) -> Result<f64> {
    let own = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let own = own.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
    let children = children(pid)?.into_iter().map(memory).sum::<Result<f64>>()?;
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

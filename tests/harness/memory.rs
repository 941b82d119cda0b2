//! What a process takes of the machine's memory.

use anyhow::{Context, Result};
use std::fs;

/// Bytes of memory that process `pid` uses.
pub fn resident(pid: u32) -> Result<usize> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages: usize = statm.split(' ').nth(1).context("no size")?.parse()?;
    Ok(pages * rustix::param::page_size())
}

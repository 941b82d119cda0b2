//! What this process costs, by the kernel's account.

use rustix::param::{clock_ticks_per_second, page_size};
use std::{fs, time::Duration};

pub(crate) const MIB: usize = 1 << 20;

/// Bytes of memory in use.
pub(crate) fn memory() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * page_size()
}

/// Processor time spent so far, in user and kernel mode.
pub(crate) fn processor() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // User and system time are the 14th and 15th field; the name in brackets is the second.
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 1000 / clock_ticks_per_second())
}

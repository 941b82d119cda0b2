//! How much memory the bytes of all connections may take: a part of what this process may have, by the machine and its control groups.

use rustix::system::sysinfo;
use std::{fs, path::Path};
use tracing::info;

/// Where Linux has its control groups (version 2).
const GROUPS: &str = "/sys/fs/cgroup";

/// One of `part` bytes that this process may have, and `least` at least.
pub fn for_buffers(part: u64, least: usize) -> usize {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = ancestors(&groups).filter_map(|group| limit(&fs::read_to_string(group).ok()?));
    let machine = machine(&fs::read_to_string("/proc/meminfo").unwrap_or_default());
    let buffered = share(limits.fold(machine, u64::min), part).max(least);
    info!(mib = buffered >> 20, "bytes on their way may take so much memory, over all connections");
    buffered
}

fn share(memory: u64, part: u64) -> usize {
    usize::try_from(memory / part).unwrap_or(usize::MAX)
}

/// The files with the limits of the control group that `text` names (cgroups(7): `0::/path`), and of those around it.
fn ancestors(text: &str) -> impl Iterator<Item = String> {
    let group = text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    Path::new(group).ancestors().map(|group| format!("{GROUPS}{}/memory.max", group.display()))
}

/// `max` is none.
fn limit(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The machine's, in bytes: a container's own /proc/meminfo may say less than the kernel does, and systemd's `ProcSubset=pid`
/// hides that file.
fn machine(meminfo: &str) -> u64 {
    total(meminfo).unwrap_or_else(|| {
        let kernel = sysinfo();
        kernel.totalram.saturating_mul(kernel.mem_unit.into())
    })
}

fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_around_a_process_are_asked_too() {
        let files = |text| ancestors(text).collect::<Vec<_>>();
        let service = ["/system.slice/drawbridge.service/memory.max", "/system.slice/memory.max", "//memory.max"];
        assert_eq!(files("0::/system.slice/drawbridge.service\n"), service.map(|file| format!("{GROUPS}{file}")));
        assert_eq!(files("4:memory:/old\n"), [format!("{GROUPS}//memory.max")]);
    }

    #[test]
    fn a_part_of_the_least_that_is_said() {
        assert_eq!((limit("max\n"), limit("1073741824\n")), (None, Some(1 << 30)));
        assert_eq!(total("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16 << 20));
        assert_eq!(share(64 << 30, 4), 16 << 30);
        assert_eq!(for_buffers(u64::MAX, 7), 7);
        assert!(for_buffers(4, 7) > for_buffers(16, 7));
    }

    #[test]
    fn a_hidden_file_hides_no_memory() {
        let said = total(&fs::read_to_string("/proc/meminfo").unwrap()).unwrap();
        assert!(machine("") >= said && machine("") < said.saturating_mul(2), "{} {said}", machine(""));
        assert_eq!(machine("MemTotal:       16384 kB\n"), 16 << 20);
    }
}

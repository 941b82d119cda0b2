//! What a stack left running that was killed before it could stop its parts.

use super::STACK;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use std::{fs, path::Path};

/// Ends the processes that `stack.json` in `dir` names, without asking: their files go next.
pub(super) fn end(dir: &Path) {
    let Ok(text) = fs::read_to_string(dir.join(STACK)) else { return };
    let Ok(stack) = serde_json::from_str::<Value>(&text) else { return };
    let agents = stack["workspaces"].as_array().into_iter().flatten().map(|workspace| &workspace["agent"]);
    let parts = [&stack["edge"], &stack["jump"]].into_iter().chain(agents);
    let pids = parts.filter_map(|part| i32::try_from(part["pid"].as_i64()?).ok()).filter_map(Pid::from_raw);
    for pid in pids.filter(|pid| is_of(*pid, dir)) {
        // Gone by itself is as good. The whole group: workerd is in Node's.
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

/// Whether the process works in `dir`, as its command line says: others have got its number since, perhaps.
fn is_of(pid: Pid, dir: &Path) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).contains(&format!("{}/", dir.display()))
}

//! What the programs hold while nobody uses them: memory, descriptors, sessions, processes.

use super::{chaos::VICTIM, rough::Rough};
use anyhow::{Result, bail};
use e2e::{Stack, cost::resident};
use serde::Serialize;
use std::{
    fmt, fs, thread,
    time::{Duration, Instant},
};
use xtask::stack::Daemon;

/// Connections that were kept for the next call to the edge, and threads for the next blocking one, are gone by then.
const QUIET: Duration = Duration::from_secs(120);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// How much more memory counts as the same.
const SLACK: f64 = 0.10;
/// Tunnels of a daemon over QUIC.
const QUIC_TUNNELS: &str = "drawbridge_tunnels{transport=\"quic\"}";
/// Descriptors that come and go with calls to the edge.
const CALLS: u64 = 3;

/// What is held at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Marks {
    held: Vec<(String, u64, Kind)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Kilobytes.
    Memory,
    Descriptors,
    /// Has to be what it was.
    Count,
}

/// One mark, then and now.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    what: String,
    before: u64,
    after: u64,
    pub(crate) good: bool,
}

impl Marks {
    /// Once sessions, channels and programs are gone.
    pub(crate) fn once_quiet(stack: &Stack, rough: &Rough) -> Result<Self> {
        let begun = Instant::now();
        loop {
            let (live, settled) = (live(stack, rough)?, Self::take(stack, rough)?);
            thread::sleep(LOOK);
            let again = Self::take(stack, rough)?;
            // A tunnel over QUIC has a buffer of 3 MB that one over WebSocket has not: like is compared with like.
            let alike = rough.region.daemon.sample(QUIC_TUNNELS)? == 1.0;
            if live == 0 && alike && begun.elapsed() > QUIET / 12 && settled.counts() == again.counts() {
                return Ok(again);
            }
            if begun.elapsed() > QUIET {
                bail!(
                    "{live} sessions, channels and programs are still there, or no tunnel over QUIC, after {} s",
                    QUIET.as_secs()
                );
            }
        }
    }

    fn take(stack: &Stack, rough: &Rough) -> Result<Self> {
        let mut held = vec![("tunnels".into(), stack.daemon.tunnels()? as u64, Kind::Count)];
        let agents = stack.workspaces.iter().filter(|workspace| workspace.id != VICTIM).chain([&rough.workspace]);
        let agents = agents.map(|workspace| (format!("agent of {}", workspace.id), workspace.agent.pid()));
        let daemons = [("daemon", &stack.daemon), ("daemon with cut tunnels", &rough.region.daemon)];
        for (name, pid) in daemons.map(|(name, daemon)| (name.to_owned(), daemon.process.pid())).into_iter().chain(agents) {
            held.push((format!("{name}: memory, kB"), memory(pid)?, Kind::Memory));
            held.push((format!("{name}: descriptors"), entries(&format!("/proc/{pid}/fd"))?, Kind::Descriptors));
        }
        Ok(Self { held })
    }

    fn counts(&self) -> Vec<u64> {
        self.held
            .iter()
            .filter(|(_, _, kind)| matches!(kind, Kind::Descriptors | Kind::Count))
            .map(|(_, count, _)| *count)
            .collect()
    }

    /// What became of what was held `before`.
    pub(crate) fn against(&self, before: &Self) -> Vec<Verdict> {
        let pairs = before.held.iter().zip(&self.held);
        let verdict = |((what, before, kind), (_, after, _)): (&(String, u64, Kind), &(String, u64, Kind))| {
            let good = match kind {
                Kind::Memory => *after as f64 <= *before as f64 * (1.0 + SLACK),
                Kind::Descriptors => *after <= before + CALLS,
                Kind::Count => after == before,
            };
            Verdict { what: what.clone(), before: *before, after: *after, good }
        };
        pairs.map(verdict).collect()
    }
}

/// Sessions and channels at the daemon, and programs below the agents.
fn live(stack: &Stack, rough: &Rough) -> Result<u64> {
    let gauges = |daemon: &Daemon| ["drawbridge_sessions", "drawbridge_channels"].map(|name| daemon.sample(name));
    let gauges = [&stack.daemon, &rough.region.daemon].into_iter().flat_map(gauges).sum::<Result<f64>>()?;
    let programs = stack
        .workspaces
        .iter()
        .chain([&rough.workspace])
        .map(|workspace| children(workspace.agent.pid()))
        .sum::<Result<u64>>()?;
    Ok(gauges as u64 + programs)
}

/// Kilobytes.
fn memory(pid: u32) -> Result<u64> {
    Ok(resident(pid)? as u64 / 1024)
}

fn entries(folder: &str) -> Result<u64> {
    Ok(fs::read_dir(folder)?.count() as u64)
}

/// Processes whose parent is `pid`, those that nobody has waited for included.
fn children(pid: u32) -> Result<u64> {
    let parent = |entry: &fs::DirEntry| -> Option<u32> {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    Ok(fs::read_dir("/proc")?.flatten().filter(|entry| parent(entry) == Some(pid)).count() as u64)
}

impl fmt::Display for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.held.iter().map(|(what, count, _)| format!("{what} {count}")).collect();
        f.write_str(&words.join(", "))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, before, after, good } = self;
        write!(f, "{what:<40} {before:>10} -> {after:>10}  {}", if *good { "good" } else { "MISSED" })
    }
}

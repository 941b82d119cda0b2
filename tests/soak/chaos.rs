//! What is broken on purpose: agents are killed and frozen, tunnels are cut and stalled, the edge goes away for a while.

use super::{load::Deed, rough::Rough};
use anyhow::Result;
use e2e::Stack;
use rustix::process::Signal;
use std::{
    sync::{
        RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Between two looks at the time.
pub(crate) const LOOK: Duration = Duration::from_millis(100);
/// Between two disturbances.
const PEACE: Duration = Duration::from_secs(8);
/// How long the edge is gone, and an agent frozen.
const OUTAGE: Duration = Duration::from_secs(4);
/// Whose agent suffers. The other one's lives from the first minute to the last, to be measured.
pub(crate) const VICTIM: &str = "lighthouse";

/// How often what was disturbed; odd while it is.
#[derive(Debug, Default)]
pub(crate) struct Chaos {
    agent: AtomicU64,
    /// Held by whoever needs the edge; its outages wait for them.
    edge: RwLock<()>,
}

/// A moment, to ask later whether something was disturbed since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(u64);

impl Chaos {
    /// Keeps the edge there.
    pub(crate) fn edge(&self) -> Result<RwLockReadGuard<'_, ()>> {
        self.edge.read().map_err(|_| anyhow::anyhow!("the soak has failed elsewhere"))
    }

    pub(crate) fn now(&self) -> Moment {
        Moment(self.agent.load(Ordering::Acquire))
    }

    /// Whether what `deed` needs was disturbed since, or was then.
    pub(crate) fn touched(&self, deed: Deed, Moment(then): Moment) -> bool {
        deed.needs_victim() && (then % 2 == 1 || self.agent.load(Ordering::Acquire) != then)
    }

    /// One disturbance after the other until `end`; all is well again afterwards.
    pub(crate) fn rage(&self, stack: &mut Stack, rough: &Rough, end: Instant) -> Result<()> {
        for round in 0.. {
            rest(PEACE.min(end.saturating_duration_since(Instant::now())));
            if Instant::now() + OUTAGE * 3 > end {
                rest(end.saturating_duration_since(Instant::now()));
                return Ok(());
            }
            // Sessions of the rough region have no excuse: they outlive what happens to their tunnels.
            rough.cut(round + round / 4);
            match round % 4 {
                0 => self.outage(stack)?,
                1 => self.disturb(|| stack.restart_agent(VICTIM))?,
                2 => self.disturb(|| freeze(stack))?,
                _ => stall(rough),
            }
            rough.heal();
        }
        Ok(())
    }

    fn disturb(&self, disturb: impl FnOnce() -> Result<()>) -> Result<()> {
        self.agent.fetch_add(1, Ordering::AcqRel);
        let done = disturb();
        self.agent.fetch_add(1, Ordering::AcqRel);
        done
    }

    fn outage(&self, stack: &mut Stack) -> Result<()> {
        let _alone = self.edge.write().map_err(|_| anyhow::anyhow!("the soak has failed elsewhere"))?;
        stack.edge.stop();
        rest(OUTAGE);
        stack.edge.restart()
    }
}

fn freeze(stack: &mut Stack) -> Result<()> {
    let agent = &stack.workspace(VICTIM)?.agent;
    agent.signal(Signal::STOP);
    rest(OUTAGE);
    agent.signal(Signal::CONT);
    rest(OUTAGE);
    Ok(())
}

fn stall(rough: &Rough) {
    rough.relay.stall(true);
    rest(OUTAGE);
}

fn rest(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        thread::sleep(LOOK.min(time));
    }
}

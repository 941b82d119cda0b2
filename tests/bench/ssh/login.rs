//! From `ssh` to the first byte of a command, alone and all at once; and what a session holds that only waits.

use crate::{route::Route, transfer::begun};
use anyhow::{Result, anyhow, ensure};
use e2e::cost;
use std::{
    process::{Child, Stdio},
    thread,
    time::Instant,
};

/// Logins at a time.
pub(crate) const CROWD: usize = 50;

/// Milliseconds to the first byte.
pub(crate) fn first_byte(route: &Route) -> Result<Vec<f64>> {
    let since = Instant::now();
    let (mut child, _output) = begun(&mut route.ssh(&[]), "printf x")?;
    let first = since.elapsed().as_secs_f64() * 1e3;
    ensure!(child.wait()?.success());
    Ok(vec![first])
}

/// Seconds until all of a crowd are in, and logins that the jump host could bear for each second of its CPU.
pub(crate) fn crowd(route: &Route) -> Result<Vec<f64>> {
    let before = cost::settled_cpu(route.jump.pid)?;
    let since = Instant::now();
    thread::scope(|scope| {
        let logins: Vec<_> = (0..CROWD).map(|_| scope.spawn(|| first_byte(route))).collect();
        logins.into_iter().try_for_each(|login| login.join().map_err(|_| anyhow!("a login panicked"))?.map(drop))
    })?;
    let took = since.elapsed().as_secs_f64();
    Ok(vec![took, CROWD as f64 / (cost::settled_cpu(route.jump.pid)? - before)])
}

/// Kilobytes that the jump host, and the target, hold for a session.
pub(crate) fn idle(route: &Route) -> Result<Vec<f64>> {
    let memory = || Ok::<_, anyhow::Error>([cost::shared_memory(route.jump.pid)?, cost::shared_memory(route.target.pid)?]);
    let before = memory()?;
    let mut sessions = Crowd(Vec::new());
    for _ in 0..CROWD {
        sessions.0.push(begun(route.ssh(&[]).stdin(Stdio::piped()), "printf x; exec cat")?.0);
    }
    let with = memory()?;
    Ok([0, 1].map(|hop| (with[hop] - before[hop]) / 1e3 / CROWD as f64).to_vec())
}

struct Crowd(Vec<Child>);

impl Drop for Crowd {
    fn drop(&mut self) {
        for session in &mut self.0 {
            // Its end of file ends it; what had ended before is an end too.
            drop(session.stdin.take());
            let _ = session.wait();
        }
    }
}

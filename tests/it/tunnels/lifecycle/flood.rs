//! Logins that begin one after the other at a steady pace, each of which has to come through.

use anyhow::{Result, anyhow, bail, ensure};
use e2e::{Session, User};
use std::{
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Between two logins.
const PACE: Duration = Duration::from_millis(50);
/// All of them.
const MOST: usize = 100;

/// Runs until it is ended.
pub(super) struct Flood {
    begun: Arc<AtomicUsize>,
    end: SyncSender<()>,
    logins: JoinHandle<Result<Vec<Child>>>,
}

impl Flood {
    /// By `user`, to each of `workspaces` in turn.
    pub(super) fn start(user: &User, workspaces: &[&str]) -> Result<Self> {
        let (end, over) = sync_channel(1);
        let begun = Arc::new(AtomicUsize::new(0));
        let (count, user) = (begun.clone(), user.clone());
        let targets: Vec<_> = workspaces.iter().map(|id| format!("user@{id}")).collect();
        let logins = thread::Builder::new().name("flood".into()).spawn(move || {
            let mut logins = Vec::new();
            for target in targets.iter().cycle().take(MOST) {
                logins.push(user.quiet_ssh().args(["-n", target, "true"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?);
                count.fetch_add(1, Ordering::Relaxed);
                match over.recv_timeout(PACE) {
                    Err(RecvTimeoutError::Timeout) => {}
                    _ => break,
                }
            }
            Ok(logins)
        })?;
        Ok(Self { begun, end, logins })
    }

    /// How many have begun.
    pub(super) fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }

    /// Ends it; how many there were. Fails where one did.
    pub(super) fn end(self) -> Result<usize> {
        // Fails only when all have begun.
        let _ = self.end.send(());
        let logins = self.logins.join().map_err(|_| anyhow!("the flood panicked"))??;
        let count = logins.len();
        for (number, login) in logins.into_iter().enumerate() {
            let output = login.wait_with_output()?;
            if !output.status.success() {
                bail!("login {number} of {count}: {} {}", output.status, String::from_utf8_lossy(&output.stderr));
            }
        }
        ensure!(count > 0, "nobody logged in");
        Ok(count)
    }
}

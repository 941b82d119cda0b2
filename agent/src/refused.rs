//! A refusal for good where somebody starts this process again as soon as it ends: it ends later then.

use crate::{enrol::EnrolFault, limits::REFUSED_PAUSE};
use rand::RngExt;
use rustix::process::{Pid, getpid, getppid};
use std::{env, time::Duration};
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Waits for a while, or until `stop`, unless a person started this process and waits for its words.
pub(crate) async fn pause(fault: &EnrolFault, stop: &CancellationToken) {
    if is_supervised() {
        let pause = rand::rng().random_range(REFUSED_PAUSE);
        wait(fault, pause, stop).await;
    }
}

async fn wait(fault: &EnrolFault, pause: Duration, stop: &CancellationToken) {
    warn!(%fault, seconds = pause.as_secs(), "refused for good; ending only after a while, since whoever started this agent may start it again at once");
    let _stopped = stop.run_until_cancelled(time::sleep(pause)).await;
}

/// Whether systemd started it, or it is a container's: there it is the first process, or that one's child.
fn is_supervised() -> bool {
    // Unlike INVOCATION_ID, which whatever a unit's shells start has too.
    let of_systemd = env::var("SYSTEMD_EXEC_PID").is_ok_and(|pid| pid == std::process::id().to_string());
    of_systemd || getpid().is_init() || getppid().is_some_and(Pid::is_init)
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawbridge_shared::native::edge_client::EdgeFault;

    #[tokio::test(start_paused = true)]
    async fn it_lasts_as_long_as_said_or_until_a_stop() {
        let fault = EnrolFault::Refused(EdgeFault::Unreadable);
        let (begun, stop) = (time::Instant::now(), CancellationToken::new());
        wait(&fault, REFUSED_PAUSE.start, &stop).await;
        assert_eq!(begun.elapsed(), REFUSED_PAUSE.start);
        stop.cancel();
        wait(&fault, REFUSED_PAUSE.end, &stop).await;
        assert_eq!(begun.elapsed(), REFUSED_PAUSE.start);
    }
}

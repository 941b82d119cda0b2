//! How a tunnel is left: what runs on it goes on to its end, and its daemon is still heard.

use super::{Host, Service, Takes};
use crate::{keys::Hints, limits::RETIRED};
use drawbridge_shared::{
    native::{control::ControlFault, talk::Talk, tunnel::Tunnel},
    tunnel::frame::{Frame, Reason},
};
use std::{pin::pin, time::Duration};
use tokio::time;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How a tunnel ended.
#[derive(Debug)]
pub(crate) enum Parting {
    /// The daemon said why.
    Dismissed {
        /// For our decision.
        reason: Reason,
        /// For people.
        words: String,
    },
    /// It did not.
    Broke(String),
}

/// What a tunnel that is left is kept for, beside what runs there.
pub(super) struct Keep {
    /// So long at least, or until the daemon's goodbye.
    least: Duration,
    /// Where its daemon drains: whoever had called that before may still begin something new, until this fires.
    drains: Option<CancellationToken>,
}

impl Keep {
    /// For what was on its way.
    pub(super) const fn retired() -> Self {
        Self { least: RETIRED, drains: None }
    }

    /// For nothing.
    pub(super) const fn done() -> Self {
        Self { least: Duration::ZERO, drains: None }
    }

    /// Comes when nothing new can be on its way any more from a daemon that keeps to the rules. One that does not would serve us for as
    /// long as it keeps one connection open, whatever the directory says of it.
    async fn until_old(drains: Option<CancellationToken>) {
        match drains {
            Some(unlisted) => unlisted.cancelled().await,
            None => time::sleep(RETIRED).await,
        }
    }
}

impl Service {
    /// How the tunnel is left, and what it is kept for, where it is. `stop` fires when its daemon is to serve us no more.
    pub(super) fn heed(
        heard: Result<Frame, ControlFault>,
        hints: &mut Hints,
        stop: &CancellationToken,
    ) -> Option<(Parting, Keep)> {
        let (parting, keep) = match heard {
            Ok(Frame::KeysChanged { seq }) => {
                hints.heard(seq);
                return None;
            }
            Ok(Frame::Drain) => {
                let dismissed = Parting::Dismissed { reason: Reason::Draining, words: "the daemon drains".into() };
                (dismissed, Keep { drains: Some(stop.clone()), ..Keep::retired() })
            }
            Ok(Frame::Goodbye { reason, words }) => (Parting::Dismissed { reason, words }, Keep::done()),
            Ok(_) => (Parting::Broke(ControlFault::OutOfTurn.to_string()), Keep::done()),
            Err(fault) => (Parting::Broke(fault.to_string()), Keep::done()),
        };
        Some((parting, keep))
    }

    /// Keeps `tunnel` until its last connection has ended, as far as `keep` says, and its daemon has left no more of them than it may.
    pub(super) fn see_off(&self, host: Host, tunnel: Tunnel, mut talk: Talk, connections: TaskTracker, keep: Keep) {
        let Keep { least, drains } = keep;
        let kept = self.left.enter(host.identity);
        connections.close();
        let service = self.clone();
        self.tasks.spawn(async move {
            let goodbye = CancellationToken::new();
            let done = async {
                // Either way nothing new is on its way any more.
                let _ = time::timeout(least, goodbye.cancelled()).await;
                connections.wait().await;
            };
            let late = async {
                let mut old = pin!(Keep::until_old(drains));
                let mut takes = Takes::All;
                loop {
                    tokio::select! {
                        biased;
                        () = &mut old, if takes == Takes::All => takes = Takes::Resumes,
                        accepted = tunnel.accept() => match accepted {
                            Ok(stream) => service.take(host, stream, &connections, takes),
                            Err(_) => return,
                        },
                    }
                }
            };
            let words = tokio::select! {
                () = done => "all connections have ended",
                () = late => "the tunnel ended",
                () = kept.displaced.cancelled() => "others were left since: what runs here goes on over another",
                () = service.listen(&mut talk, &goodbye) => "the control stream broke",
            };
            tunnel.close(words);
        });
    }

    /// What the daemon still says of a tunnel that is seen off: that keys changed, that it goes, that it lives.
    async fn listen(&self, talk: &mut Talk, goodbye: &CancellationToken) {
        let mut hints = self.keys.hints();
        loop {
            tokio::select! {
                heard = talk.next() => match heard {
                    Ok(Frame::KeysChanged { seq }) => hints.heard(seq),
                    Ok(Frame::Goodbye { .. }) => goodbye.cancel(),
                    Ok(_) => {}
                    Err(_) => return,
                },
                () = hints.heed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn nothing_new_is_taken_once_what_was_on_its_way_has_come() {
        let begun = Instant::now();
        Keep::until_old(None).await;
        assert_eq!(begun.elapsed(), RETIRED);
        let unlisted = CancellationToken::new();
        let drains = time::timeout(100 * RETIRED, Keep::until_old(Some(unlisted.clone()))).await;
        assert!(drains.is_err(), "a daemon may drain for a day");
        unlisted.cancel();
        Keep::until_old(Some(unlisted)).await;
    }
}

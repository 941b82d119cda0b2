//! How a tunnel is left: what runs on it goes on to its end, and its daemon is still heard.

use super::{Host, Service};
use crate::{keys::Hints, limits::RETIRED};
use drawbridge_shared::{
    native::{control::ControlFault, talk::Talk, tunnel::Tunnel},
    tunnel::frame::{Frame, Reason},
};
use std::time::Duration;
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

impl Service {
    /// How the tunnel is left, and how long it is kept at least, where it is.
    pub(super) fn heed(heard: Result<Frame, ControlFault>, hints: &mut Hints) -> Option<(Parting, Duration)> {
        let (parting, least) = match heard {
            Ok(Frame::KeysChanged { seq }) => {
                hints.heard(seq);
                return None;
            }
            Ok(Frame::Drain) => (Parting::Dismissed { reason: Reason::Draining, words: "the daemon drains".into() }, RETIRED),
            Ok(Frame::Goodbye { reason, words }) => (Parting::Dismissed { reason, words }, Duration::ZERO),
            Ok(_) => (Parting::Broke(ControlFault::OutOfTurn.to_string()), Duration::ZERO),
            Err(fault) => (Parting::Broke(fault.to_string()), Duration::ZERO),
        };
        Some((parting, least))
    }

    /// Keeps `tunnel` until its last connection has ended, and for `least` or until the daemon's goodbye.
    pub(super) fn see_off(&self, host: Host, tunnel: Tunnel, mut talk: Talk, connections: TaskTracker, least: Duration) {
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
                while let Ok(stream) = tunnel.accept().await {
                    service.take(host, stream, &connections);
                }
            };
            let words = tokio::select! {
                () = done => "all connections have ended",
                () = late => "the tunnel ended",
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

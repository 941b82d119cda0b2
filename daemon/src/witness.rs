//! What happens to users, told to the log, the metrics and the audit trail in one breath.

mod digest;
mod early;
mod event;

pub(crate) use digest::Digest;
pub(crate) use early::Early;

use crate::{
    audit::Trail,
    bridge::Tally,
    denial::Denial,
    metrics::{Counted, Metrics},
};
use drawbridge_shared::{
    fingerprint::Fingerprint,
    id::{UserId, WorkspaceId},
};
use event::Event;
use std::{net::SocketAddr, sync::Arc, time::Instant};
use tracing::{debug, field::display, info};

/// Sees it all; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Witness {
    /// What it counts.
    pub(crate) metrics: Metrics,
    trail: Trail,
    dropped: Arc<Digest>,
}

/// To whom it happens: never more than what was bounded and checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who<'a> {
    /// One outer connection, from end to end.
    pub(crate) trace: &'a str,
    /// Where it comes from.
    pub(crate) peer: SocketAddr,
    /// Its key, once that is proven.
    pub(crate) key: Option<Fingerprint>,
}

/// Why something that was open is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Both ends were done with it.
    Finished,
    /// It broke.
    Broken,
    /// The user's connection was gone.
    Left,
    /// The user may no longer.
    Denied(Denial),
}

/// A connection whose key is proven.
#[derive(Debug)]
pub(crate) struct Session(Seen);

/// A channel that leads to a workspace.
#[derive(Debug)]
pub(crate) struct Crossing {
    /// What has crossed so far.
    pub(crate) tally: Tally,
    seen: Seen,
    user: UserId,
    workspace: WorkspaceId,
}

/// Something that lasts, from its beginning on.
#[derive(Debug)]
struct Seen {
    witness: Witness,
    trace: String,
    peer: SocketAddr,
    key: Option<Fingerprint>,
    begun: Instant,
    _counted: Counted,
}

impl Witness {
    /// Tells `trail` too.
    pub(crate) fn new(metrics: Metrics, trail: Trail) -> Self {
        Self { metrics, trail, dropped: Arc::default() }
    }

    /// A key was proven and may log in.
    pub(crate) fn logged_in(&self, who: Who<'_>) -> Session {
        self.metrics.logins.inc();
        info!(trace = who.trace, peer = %who.peer, key = who.key.as_ref().map(display), "logged in");
        self.trail.tell(&Event::Login { who });
        Session(Seen::new(self, who, Counted::on(&self.metrics.sessions)))
    }

    /// A login or a channel was refused.
    pub(crate) fn refused(&self, who: Who<'_>, denial: &Denial) {
        let (reason, workspace) = (denial.label(), denial.workspace());
        self.metrics.refusals.note(reason);
        let (key, place) = (who.key.as_ref().map(display), workspace.map(display));
        info!(trace = who.trace, peer = %who.peer, key, workspace = place, reason, "refused");
        self.trail.tell(&Event::Refusal { who, workspace, reason });
    }

    /// A connection was given up before a key was proven. There may be many: few lines of the log tell of them.
    pub(crate) fn dropped(&self, who: Who<'_>, early: Early) {
        let (reason, Who { trace, peer, .. }) = (early.label(), who);
        self.metrics.dropped.note(reason);
        debug!(trace, %peer, reason, "given up before a key was proven");
        if let Some(numbers) = self.dropped.note(reason, Instant::now()) {
            info!(%peer, reason, %numbers, "connections were given up before a key was proven; this is the last of them");
        }
        if early.is_refusal() {
            self.trail.tell(&Event::Refusal { who, workspace: None, reason });
        }
    }

    /// A channel leads to `workspace` from now on.
    pub(crate) fn opened(&self, who: Who<'_>, user: &UserId, workspace: &WorkspaceId) -> Crossing {
        self.metrics.opened.inc();
        let key = who.key.as_ref().map(display);
        info!(trace = who.trace, peer = %who.peer, %user, key, %workspace, "open");
        self.trail.tell(&Event::Open { who, user, workspace });
        let seen = Seen::new(self, who, Counted::on(&self.metrics.channels));
        Crossing { tally: Tally::default(), seen, user: user.clone(), workspace: workspace.clone() }
    }
}

impl Seen {
    fn new(witness: &Witness, who: Who<'_>, counted: Counted) -> Self {
        let Who { trace, peer, key } = who;
        Self { witness: witness.clone(), trace: trace.into(), peer, key, begun: Instant::now(), _counted: counted }
    }

    fn who(&self) -> Who<'_> {
        Who { trace: &self.trace, peer: self.peer, key: self.key }
    }
}

impl Session {
    /// Its end.
    pub(crate) fn ended(self, ending: &Ending) {
        let (Self(seen), reason) = (self, ending.label());
        let (who, lasted, witness) = (seen.who(), seen.begun.elapsed(), &seen.witness);
        witness.metrics.logouts.note(reason);
        let key = who.key.as_ref().map(display);
        info!(trace = who.trace, peer = %who.peer, key, seconds = lasted.as_secs_f32(), reason, "logged out");
        witness.trail.tell(&Event::Logout { who, duration_ms: lasted.as_millis(), reason });
    }
}

impl Crossing {
    /// Its end.
    pub(crate) fn closed(self, ending: &Ending) {
        let Self { tally: Tally { up, down }, seen, user, workspace } = &self;
        let (who, reason, lasted, witness) = (seen.who(), ending.label(), seen.begun.elapsed(), &seen.witness);
        witness.metrics.closed.note(reason);
        witness.metrics.up.inc_by(*up);
        witness.metrics.down.inc_by(*down);
        info!(trace = who.trace, %workspace, up, down, seconds = lasted.as_secs_f32(), reason, "closed");
        let duration_ms = lasted.as_millis();
        witness.trail.tell(&Event::Close { who, user, workspace, up: *up, down: *down, duration_ms, reason });
    }
}

impl Ending {
    /// Its name, of a closed set.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Broken => "broken",
            Self::Left => "left",
            Self::Denied(denial) => denial.label(),
        }
    }
}

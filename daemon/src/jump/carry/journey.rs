//! A strand's way from tunnel to tunnel: when its leg breaks it waits for its agent's process, and goes on over that.

use crate::{
    jump::Hall,
    limits::{LAST_WORDS, OPEN_TIMEOUT, RESUME_PAUSE, SUCCESSOR_PATIENCE},
    link::Link,
    passage::{Incoming, Outgoing, own},
};
use drawbridge_shared::{
    id::WorkspaceId,
    native::{
        control,
        identity::PublicIdentity,
        resume::{self, Budget, Driver, Leg, LegWriter, Outcome, StrandReader, StrandWriter},
    },
    tunnel::{
        instance::Instance,
        open::Open,
        resume::{
            frame::{Answer, Resume},
            ticket::{ID, SECRET, Secret, StrandId, Ticket},
        },
    },
};
use rand::RngExt;
use std::{io, sync::Arc, time::Duration};
use tokio::time::{self, Instant};
use tracing::{debug, info, warn};

/// A leg of this side's.
type Way = Leg<Incoming, Outgoing>;

/// A stream that a strand may begin on.
pub(super) struct Start {
    /// The agent process that it leads to.
    pub(super) instance: Instance,
    /// Both directions.
    pub(super) halves: (Incoming, Outgoing),
    /// The newest registration before it was opened.
    pub(super) seen: u64,
}

/// Who gives streams.
enum Source {
    /// A tunnel of ours.
    Own(Link),
    /// Whoever took our place.
    Successor,
}

/// What moves a strand; belongs into the task of its application.
pub(super) struct Journey {
    hall: Arc<Hall>,
    workspace: WorkspaceId,
    instance: Instance,
    /// What the workspace's agent proved itself with when this began.
    key: Option<PublicIdentity>,
    open: Open,
    driver: Driver,
    /// The newest registration when that process was last known to live.
    seen: u64,
    /// Counts Resumes.
    legs: u64,
}

/// Why a strand does not go on.
#[derive(Debug, thiserror::Error)]
enum Stranded {
    #[error("its tunnel broke before the agent had said anything")]
    Unheard,
    #[error("its tunnel broke, and the agent did not come back within {} s", .0.as_secs())]
    Late(Duration),
    #[error("its tunnel broke, and the agent that served it was replaced by another")]
    Replaced,
    #[error("its workspace was deleted, or has another agent by now: the agent key was reset")]
    Unseated,
    #[error("its tunnel broke, and {0}")]
    Gone(String),
    #[error("the agent broke the tunnel protocol: {0}")]
    Violated(#[from] resume::Violation),
}

/// How a journey ended.
pub(super) enum Arrival {
    /// Before the agent had said anything, with its tunnel.
    Unheard,
    /// In any other way, which its application has heard of.
    Over,
}

/// A name and a secret that nobody can guess.
pub(super) fn ticket() -> Ticket {
    let mut chance = rand::rng();
    Ticket { id: StrandId(chance.random::<[u8; ID]>()), secret: Secret::new(chance.random::<[u8; SECRET]>()) }
}

/// Opens a strand over the stream of `start`; nothing moves before [`Journey::travel`] does.
pub(super) async fn begin(
    hall: Arc<Hall>,
    workspace: WorkspaceId,
    Start { instance, halves: (from, mut to), seen }: Start,
    open: Open,
    budget: &Budget,
) -> io::Result<((StrandReader, StrandWriter), (Journey, Way))> {
    to.send(open.encode().into()).await?;
    let way = Leg::new(from, to);
    let (reader, writer, driver) = resume::strand(budget);
    let key = hall.snapshots.current().agent_key(&workspace);
    Ok(((reader, writer), (Journey { hall, workspace, instance, key, open, driver, seen, legs: 0 }, way)))
}

impl Journey {
    /// Until the strand is over or stranded. When the daemon ends, so does this, after a moment for last words.
    pub(super) async fn travel(mut self, way: Way) -> Arrival {
        let end = self.hall.end.clone();
        let stranded = tokio::select! {
            stranded = self.go(way) => stranded,
            () = async { end.cancelled().await; time::sleep(LAST_WORDS).await } => Ok(()),
        };
        let Err(stranded) = stranded else { return Arrival::Over };
        self.driver.fail(&stranded.to_string());
        if matches!(stranded, Stranded::Unheard) {
            debug!(trace = %self.open.trace_id, reason = %stranded, "a connection begins again");
            return Arrival::Unheard;
        }
        warn!(trace = %self.open.trace_id, reason = %stranded, "a connection is given up");
        Arrival::Over
    }

    async fn go(&mut self, mut way: Way) -> Result<(), Stranded> {
        loop {
            let ridden = Instant::now();
            match self.driver.ride(&mut way).await {
                Outcome::Over => return Ok(()),
                Outcome::Violated(violation) => return Err(violation.into()),
                // Nothing came of it yet: whoever opened it begins again, with whichever agent is there.
                Outcome::Broke(_) if self.driver.is_unheard() => return Err(Stranded::Unheard),
                Outcome::Broke(fault) => info!(trace = %self.open.trace_id, %fault, "a connection lost its tunnel"),
            }
            // What it brought is final before the next one begins.
            drop(way);
            if self.legs > 0 {
                // An agent whose streams break at once would have us go round as fast as it can.
                time::sleep_until(ridden + RESUME_PAUSE).await;
            }
            let begun = Instant::now();
            way = match self.next().await? {
                Some(next) => next,
                None => return Ok(()),
            };
            info!(trace = %self.open.trace_id, seconds = begun.elapsed().as_secs_f32(), "a connection goes on");
        }
    }

    /// The next leg; none where nothing is missing any more. Boxed: few strands ever look for one.
    async fn next(&mut self) -> Result<Option<Way>, Stranded> {
        let patience = self.hall.patience;
        time::timeout(patience, Box::pin(self.search())).await.unwrap_or(Err(Stranded::Late(patience)))
    }

    async fn search(&mut self) -> Result<Option<Way>, Stranded> {
        let mut newest = self.hall.registry.watch();
        let _awaited = self.hall.registry.awaiting(&self.workspace);
        let mut successor = None;
        loop {
            newest.borrow_and_update();
            if self.hall.snapshots.current().agent_key(&self.workspace) != self.key {
                return Err(Stranded::Unseated);
            }
            let links = self.hall.registry.of_process(&self.workspace, self.instance);
            let sources =
                links.iter().cloned().map(Source::Own).chain(self.hall.stop.is_cancelled().then_some(Source::Successor));
            for source in sources {
                match self.resume(&source).await {
                    Ok(found) => return found,
                    Err(fault) => debug!(trace = %self.open.trace_id, %fault, "a connection is not resumed yet"),
                }
            }
            if !links.is_empty() {
                successor = None;
            } else if self.hall.registry.outlived(&self.workspace, self.instance, self.seen) {
                return Err(Stranded::Replaced);
            } else if self.hall.registry.active(&self.workspace).is_some() {
                let since = *successor.get_or_insert_with(Instant::now);
                if since.elapsed() >= SUCCESSOR_PATIENCE {
                    return Err(Stranded::Replaced);
                }
            }
            tokio::select! {
                Ok(()) = newest.changed() => {}
                () = time::sleep(RESUME_PAUSE) => {}
            }
        }
    }

    /// Asks for the strand over a stream from `source`. An error is the source's, and another may do.
    async fn resume(&mut self, source: &Source) -> io::Result<Result<Option<Way>, Stranded>> {
        self.legs += 1;
        let seen = *self.hall.registry.watch().borrow();
        let asked = time::timeout(OPEN_TIMEOUT, self.ask(source)).await;
        let (answer, (reader, writer)) = asked.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        match answer {
            Answer::Resumed { received } => {
                self.seen = seen;
                let attached = self.driver.attach(received);
                Ok(attached.map(|()| Some(Leg::new(reader, writer))).map_err(Stranded::from))
            }
            Answer::Gone { .. } if self.driver.is_complete() => Ok(Ok(None)),
            Answer::Gone { words } => Ok(Err(Stranded::Gone(words))),
        }
    }

    async fn ask(&self, source: &Source) -> io::Result<(Answer, (Incoming, Outgoing))> {
        let (mut reader, mut writer) = self.stream(source).await?;
        let resume = Resume::new(&self.open.ticket, self.legs, self.driver.received());
        writer.send(resume.encode().into()).await?;
        let answer = control::read_answer(&mut reader).await.map_err(io::Error::other)?;
        Ok((answer, (reader, writer)))
    }

    async fn stream(&self, source: &Source) -> io::Result<(Incoming, Outgoing)> {
        match source {
            Source::Own(link) => link.open().await.map(own),
            Source::Successor => Ok(self.hall.passage.open(&self.workspace, Some(self.instance)).await?.1),
        }
    }
}

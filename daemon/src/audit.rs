//! The audit trail: one JSON line an event, written by a thread of its own and never waited for.

mod sink;

pub use sink::Place;

use crate::{
    limits::{AUDIT_BATCH, AUDIT_QUEUE, FAREWELL},
    metrics::Metrics,
};
use drawbridge_shared::native::clock;
use prometheus_client::metrics::counter::Counter;
use serde::Serialize;
use sink::Sink;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
    time,
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Where events are told; cheap to clone. Without a place they go nowhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trail(Option<Open>);

#[derive(Clone, Debug)]
struct Open {
    lines: mpsc::Sender<Entry>,
    lost: Arc<AtomicU64>,
    unaudited: Counter,
}

/// The writing end.
#[derive(Debug)]
pub(crate) struct Scribe {
    lines: mpsc::Sender<Entry>,
    done: oneshot::Receiver<()>,
}

#[derive(Debug)]
enum Entry {
    Line(String),
    /// Somebody may have moved the file.
    Look,
    End,
}

/// One line: `time`, `event`, and what belongs to it.
#[derive(Serialize)]
struct Stamped<'a, T> {
    time: String,
    #[serde(flatten)]
    event: &'a T,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Gap {
    Dropped { lines: u64 },
}

impl Trail {
    /// Opens `place` and starts the thread that writes to it.
    pub(crate) fn start(place: Place, metrics: &Metrics) -> io::Result<(Self, Scribe)> {
        let sink = Sink::open(place)?;
        let (lines, queue) = mpsc::channel(AUDIT_QUEUE);
        let (finished, done) = oneshot::channel();
        let lost = Arc::new(AtomicU64::new(0));
        let (told, missed) = (lost.clone(), metrics.unaudited.clone());
        thread::Builder::new().name("audit".into()).spawn(move || {
            write(queue, sink, &told, &missed);
            // Nobody waits for it where the daemon gave up waiting.
            let _ = finished.send(());
        })?;
        let open = Open { lines: lines.clone(), lost, unaudited: metrics.unaudited.clone() };
        Ok((Self(Some(open)), Scribe { lines, done }))
    }

    /// Tells `event`, if there is room for it: what finds none is counted, and the trail says how many.
    pub(crate) fn tell(&self, event: &impl Serialize) {
        let Some(open) = &self.0 else { return };
        let taken = line(event).is_some_and(|line| open.lines.try_send(Entry::Line(line)).is_ok());
        if !taken {
            open.lost.fetch_add(1, Ordering::Relaxed);
            open.unaudited.inc();
        }
    }
}

impl Scribe {
    /// Looks for its file at every SIGHUP until `stop`, then waits a bounded time until all is written.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut hang_up = match signal(SignalKind::hangup()) {
            Ok(hang_up) => hang_up,
            Err(fault) => return warn!(%fault, "SIGHUP cannot be heard; the audit trail looks for its file by itself"),
        };
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                // A full queue means that it is looking anyway.
                _ = hang_up.recv() => drop(self.lines.try_send(Entry::Look)),
            }
        }
        let ended = time::timeout(FAREWELL, async {
            // Fails only when the thread is gone.
            let _ = self.lines.send(Entry::End).await;
            let _ = self.done.await;
        });
        if ended.await.is_err() {
            warn!("the audit trail does not take its last lines");
        }
    }
}

fn line(event: &impl Serialize) -> Option<String> {
    let mut line = serde_json::to_string(&Stamped { time: clock::stamp(), event }).ok()?;
    line.push('\n');
    Some(line)
}

/// Writes what comes until the end, many lines at once where many wait.
fn write(mut queue: mpsc::Receiver<Entry>, mut sink: Sink, lost: &AtomicU64, unaudited: &Counter) {
    let mut entries = Vec::with_capacity(AUDIT_BATCH);
    while queue.blocking_recv_many(&mut entries, AUDIT_BATCH) > 0 {
        let end = entries.iter().any(|entry| matches!(entry, Entry::End));
        let lines: Vec<_> = entries.drain(..).filter_map(Entry::line).collect();
        let missed = lost.swap(0, Ordering::Relaxed);
        let gap = (missed > 0).then(|| line(&Gap::Dropped { lines: missed })).flatten();
        let text = lines.concat() + &gap.unwrap_or_default();
        if sink.write(text.as_bytes()).is_err() {
            lost.fetch_add(missed + lines.len() as u64, Ordering::Relaxed);
            unaudited.inc_by(lines.len() as u64);
        }
        if end {
            break;
        }
    }
}

impl Entry {
    fn line(self) -> Option<String> {
        match self {
            Self::Line(line) => Some(line),
            Self::Look | Self::End => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::{fs, path::Path};

    fn lines(path: &Path) -> Vec<Value> {
        fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    async fn ended(scribe: Scribe) {
        let stop = CancellationToken::new();
        stop.cancel();
        scribe.run(stop).await;
    }

    #[tokio::test]
    async fn a_line_an_event_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        let (trail, scribe) = Trail::start(Place::File(path.clone()), &Metrics::default()).unwrap();
        (0..3000).for_each(|n| trail.tell(&json!({"event": "test", "n": n})));
        ended(scribe).await;
        let lines = lines(&path);
        assert!(lines.iter().enumerate().all(|(at, line)| line["n"] == at && line["time"].is_string()));
        assert_eq!(lines.len(), 3000);
    }

    #[test]
    fn what_finds_no_room_is_told_in_the_trail() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        let metrics = Metrics::default();
        let (lines_in, queue) = mpsc::channel(2);
        let lost = Arc::new(AtomicU64::new(0));
        let trail = Trail(Some(Open { lines: lines_in.clone(), lost: lost.clone(), unaudited: metrics.unaudited.clone() }));
        (0..5).for_each(|n| trail.tell(&json!({"n": n})));
        drop((trail, lines_in));
        write(queue, Sink::open(Place::File(path.clone())).unwrap(), &lost, &metrics.unaudited);
        let lines = lines(&path);
        assert_eq!((lines.len(), &lines[0]["n"], &lines[1]["n"]), (3, &json!(0), &json!(1)));
        assert_eq!((&lines[2]["event"], &lines[2]["lines"], metrics.unaudited.get()), (&json!("dropped"), &json!(3), 3));
    }

    #[test]
    fn a_trail_without_a_place_tells_nobody() {
        Trail::default().tell(&json!({}));
    }
}

//! The threads that do requests on open files, one a lane, started when first needed.

use super::{
    lanes::{Files, Lanes},
    limits,
    outbox::Outbox,
};
use std::{
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::Scope,
};

/// One request that is understood and found: doing it gives the answer.
pub(super) struct Job {
    pub(super) files: Files,
    /// Whether it takes as long as the file's size or the disk wants, so that others should not wait for it.
    pub(super) long: bool,
    pub(super) work: Box<dyn FnOnce() -> Vec<u8> + Send>,
}

/// The threads' common ground.
#[derive(Debug, Default)]
pub(super) struct Yard {
    lanes: Mutex<Lanes>,
    left: Condvar,
}

/// Hands jobs to the threads, which end when this is dropped.
pub(super) struct Crew<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    yard: &'env Yard,
    outbox: &'env Outbox,
    queues: [Option<SyncSender<Job>>; limits::LANES],
}

impl<'scope, 'env> Crew<'scope, 'env> {
    /// No thread yet.
    pub(super) fn new(scope: &'scope Scope<'scope, 'env>, yard: &'env Yard, outbox: &'env Outbox) -> Self {
        Self { scope, yard, outbox, queues: Default::default() }
    }

    /// Has `job` done after all that were on its files, waiting while too many are under way.
    pub(super) fn take(&mut self, job: Job) {
        let mut lanes = self.yard.lock();
        let lane = loop {
            match lanes.enter(job.files) {
                Some(lane) => break lane,
                None => lanes = self.yard.left.wait(lanes).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(lanes);
        self.queue(job, lane);
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.yard.lock().are_empty()
    }

    /// Waits until nothing is under way.
    pub(super) fn settle(&self) {
        let lanes = self.yard.lock();
        drop(self.yard.left.wait_while(lanes, |lanes| !lanes.are_empty()));
    }

    fn queue(&mut self, job: Job, lane: usize) {
        let Some(queue) = self.queues.get_mut(lane) else { return };
        let queue = queue.get_or_insert_with(|| {
            // As many as may be in flight at all, so that sending never waits.
            let (queue, jobs) = sync_channel(limits::IN_FLIGHT);
            let (yard, outbox) = (self.yard, self.outbox);
            self.scope.spawn(move || work(lane, &jobs, yard, outbox));
            queue
        });
        let _ended = queue.send(job);
    }
}

impl Yard {
    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn work(lane: usize, jobs: &Receiver<Job>, yard: &Yard, outbox: &Outbox) {
    while let Ok(Job { files, work, .. }) = jobs.recv() {
        outbox.put(work());
        yard.lock().leave(lane, files);
        yard.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::sftp::outbox::tests::Sent;
    use std::{thread, time::Duration};

    /// A job that waits for `gate`, if there is one, and answers `answer`.
    fn job(file: u64, answer: &'static str, gate: Option<Receiver<()>>) -> Job {
        let work = move || {
            if let Some(gate) = gate {
                gate.recv_timeout(Duration::from_secs(60)).unwrap();
            }
            answer.into()
        };
        Job { files: ((0, file), None), long: false, work: Box::new(work) }
    }

    #[test]
    fn a_slow_file_holds_up_itself_alone() {
        let (sent, yard, (open, gate)) = (Sent::default(), Yard::default(), sync_channel(1));
        let outbox = Outbox::new(sent.clone());
        thread::scope(|sending| {
            sending.spawn(|| outbox.run());
            let _end = outbox.ends_on_drop();
            thread::scope(|lanes| {
                let mut crew = Crew::new(lanes, &yard, &outbox);
                crew.take(job(1, "slow ", Some(gate)));
                crew.take(job(1, "behind ", None));
                crew.take(job(2, "beside ", None));
                sent.wait_for("beside ");
                assert!(!crew.is_idle());
                open.send(()).unwrap();
                crew.settle();
                assert!(crew.is_idle());
            });
        });
        assert_eq!(sent.text(), "beside slow behind ");
    }

    #[test]
    fn what_was_taken_is_done_when_the_crew_is_dismissed() {
        let (sent, yard) = (Sent::default(), Yard::default());
        let outbox = Outbox::new(sent.clone());
        thread::scope(|sending| {
            sending.spawn(|| outbox.run());
            let _end = outbox.ends_on_drop();
            thread::scope(|lanes| {
                let mut crew = Crew::new(lanes, &yard, &outbox);
                (0..200).for_each(|_| crew.take(job(1, "x", None)));
            });
        });
        assert_eq!(sent.text(), "x".repeat(200));
    }
}

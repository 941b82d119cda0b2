//! Answers on their way to the client: gathered while it is slow, sent at once while it is not.
//!
//! They leave in the order in which they come. That keeps answers about one file in the order of its requests, which
//! clients need though the draft does not promise it: `scp` of OpenSSH 9 cuts a file off where its first acknowledgement
//! out of order stood.

use super::limits;
use std::{
    io::{self, BufWriter, Write},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

/// The answers that wait, and the output they wait for.
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    output: Mutex<BufWriter<Box<dyn Write + Send>>>,
}

#[derive(Debug, Default)]
struct Waiting {
    answers: Vec<Vec<u8>>,
    bytes: usize,
    /// Somebody writes, and only one may.
    writing: bool,
    /// Nothing more will come.
    ended: bool,
    fault: Option<io::Error>,
}

/// Ends an outbox when dropped.
pub(super) struct End<'a>(&'a Outbox);

impl Outbox {
    /// No answer yet.
    pub(super) fn new(output: impl Write + Send + 'static) -> Self {
        let output = Mutex::new(BufWriter::with_capacity(limits::OUTPUT_BUFFER, Box::new(output) as Box<_>));
        Self { waiting: Mutex::default(), changed: Condvar::new(), output }
    }

    /// Sends what is put in until the end.
    pub(super) fn run(&self) {
        while let Some(answers) = self.next() {
            self.write(&answers);
        }
    }

    /// Leaves `answer` to the thread that runs this; waits while too many bytes wait already.
    pub(super) fn put(&self, answer: Vec<u8>) {
        let waiting = self.lock();
        let full = |waiting: &mut Waiting| waiting.bytes >= limits::OUTBOX && waiting.fault.is_none();
        let mut waiting = self.changed.wait_while(waiting, full).unwrap_or_else(PoisonError::into_inner);
        waiting.bytes += answer.len();
        waiting.answers.push(answer);
        drop(waiting);
        self.changed.notify_all();
    }

    /// Sends `answer` from this thread if none is before it: for a client that waits for it and for nothing else.
    pub(super) fn send(&self, answer: Vec<u8>) {
        let mut waiting = self.lock();
        if waiting.writing || !waiting.answers.is_empty() {
            drop(waiting);
            return self.put(answer);
        }
        waiting.writing = true;
        drop(waiting);
        self.write(&[answer]);
    }

    /// Whether nobody can be answered any more.
    pub(super) fn is_broken(&self) -> bool {
        self.lock().fault.is_some()
    }

    /// The end comes when the guard goes.
    pub(super) fn ends_on_drop(&self) -> End<'_> {
        End(self)
    }

    /// Why the output broke, if it did.
    pub(super) fn take_fault(&self) -> Option<io::Error> {
        self.lock().fault.take()
    }

    /// All that waits; `None` at the end.
    fn next(&self) -> Option<Vec<Vec<u8>>> {
        let not_yet = |waiting: &mut Waiting| waiting.writing || waiting.answers.is_empty() && !waiting.ended;
        let mut waiting = self.changed.wait_while(self.lock(), not_yet).unwrap_or_else(PoisonError::into_inner);
        let answers = std::mem::take(&mut waiting.answers);
        waiting.bytes = 0;
        waiting.writing = !answers.is_empty();
        drop(waiting);
        self.changed.notify_all();
        (!answers.is_empty()).then_some(answers)
    }

    /// Writes for whoever has set `writing`.
    fn write(&self, answers: &[Vec<u8>]) {
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        let written = answers.iter().try_for_each(|answer| output.write_all(answer)).and_then(|()| output.flush());
        drop(output);
        let mut waiting = self.lock();
        waiting.writing = false;
        waiting.fault = waiting.fault.take().or(written.err());
        drop(waiting);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::{
        sync::{
            Arc,
            mpsc::{Receiver, SyncSender, sync_channel},
        },
        thread,
        time::{Duration, Instant},
    };

    /// An output that remembers.
    #[derive(Clone, Default)]
    pub(crate) struct Sent(Arc<Mutex<Vec<u8>>>);

    impl Sent {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }

        pub(crate) fn wait_for(&self, wanted: &str) {
            let start = Instant::now();
            while !self.text().contains(wanted) {
                assert!(start.elapsed() < Duration::from_secs(60), "never sent: {wanted}");
                thread::yield_now();
            }
        }
    }

    impl Write for Sent {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// An output that takes a write for every word of `allowed`, and breaks when there will be none.
    struct Gated {
        allowed: Receiver<()>,
        sent: Sent,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.allowed.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.sent.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (SyncSender<()>, Sent, Outbox) {
        let ((allow, allowed), sent) = (sync_channel(100), Sent::default());
        (allow, sent.clone(), Outbox::new(Gated { allowed, sent }))
    }

    #[test]
    fn answers_keep_their_order_whoever_sends_them() {
        let (allow, sent, outbox) = gated();
        thread::scope(|scope| {
            scope.spawn(|| outbox.run());
            let _end = outbox.ends_on_drop();
            // The first is being written; what is sent at once meanwhile has to stand behind what was put before it.
            for n in 0..5 {
                outbox.put(format!("{}", 2 * n).into());
                outbox.send(format!("{}", 2 * n + 1).into());
            }
            (0..10).for_each(|_| allow.send(()).unwrap());
        });
        assert_eq!(sent.text(), "0123456789");
    }

    #[test]
    fn nobody_puts_more_than_fits() {
        let (allow, _, outbox) = gated();
        let fits = limits::OUTBOX / 1000 + 1;
        thread::scope(|scope| {
            scope.spawn(|| outbox.run());
            let (done, all) = sync_channel(1);
            let outbox = &outbox;
            scope.spawn(move || {
                let _end = outbox.ends_on_drop();
                (0..3 * fits).for_each(|_| outbox.put(vec![0; 1000]));
                done.send(()).unwrap();
            });
            assert!(all.recv_timeout(Duration::from_millis(200)).is_err(), "all was put");
            assert!(outbox.lock().bytes <= limits::OUTBOX + 1000);
            // Nobody reads: all who wait are let go.
            drop(allow);
            all.recv_timeout(Duration::from_secs(60)).unwrap();
        });
        assert!(outbox.is_broken());
        assert_eq!(outbox.take_fault().unwrap().kind(), io::ErrorKind::BrokenPipe);
    }
}

//! A client that is talked with while it runs: over pipes, or on a terminal as a person sits at one.

use crate::run::{PATIENCE, until, wait};
use anyhow::{Context, Result, bail};
use e2e::{Outcome, pty::Terminal};
use rustix::{
    process::{Pid, Signal, kill_process, kill_process_group},
    termios::{Winsize, tcsetwinsize},
};
use std::{
    fs::File,
    io::{Read, Write},
    os::{fd::AsFd, unix::process::CommandExt},
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Instant,
};

/// What the client has said so far.
#[derive(Default)]
struct Said {
    out: Mutex<Vec<u8>>,
    more: Condvar,
}

/// A running client; dropping it kills it.
pub(crate) struct Live {
    child: Child,
    input: Option<Box<dyn Write + Send>>,
    /// Ours, of the client's terminal.
    near: Option<File>,
    out: Arc<Said>,
    err: Arc<Said>,
    readers: Vec<JoinHandle<()>>,
}

impl Live {
    /// Starts `client` with three pipes.
    pub(crate) fn piped(client: &mut Command) -> Result<Self> {
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = client.spawn().with_context(|| format!("cannot start {client:?}"))?;
        let (out, err) = (Arc::<Said>::default(), Arc::<Said>::default());
        let readers = vec![
            listen(child.stdout.take().context("no output")?, &out),
            listen(child.stderr.take().context("no error output")?, &err),
        ];
        let input = child.stdin.take().map(|stdin| Box::new(stdin) as Box<_>);
        Ok(Self { child, input, near: None, out, err, readers })
    }

    /// Starts `client` on a terminal of its own.
    pub(crate) fn seated(client: &mut Command, rows: u16, columns: u16) -> Result<Self> {
        Self::seated_with(client, rows, columns, |_| Ok(()))
    }

    /// The same on a terminal that `prepare` has changed before.
    pub(crate) fn seated_with(
        client: &mut Command,
        rows: u16,
        columns: u16,
        prepare: impl FnOnce(&File) -> Result<()>,
    ) -> Result<Self> {
        let Terminal { near, far } = Terminal::new(rows, columns)?;
        prepare(&far)?;
        client.stdin(far.try_clone()?).stdout(far.try_clone()?).stderr(far).process_group(0);
        let child = client.spawn().with_context(|| format!("cannot start {client:?}"))?;
        // The command holds the far end until something replaces it.
        client.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let (near, out) = (File::from(near), Arc::<Said>::default());
        let readers = vec![listen(near.try_clone()?, &out)];
        let input = Some(Box::new(near.try_clone()?) as Box<_>);
        Ok(Self { child, input, near: Some(near), out, err: Arc::default(), readers })
    }

    /// Types or pipes `bytes`.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        self.input.as_mut().context("the input is closed")?.write_all(bytes.as_ref())?;
        Ok(())
    }

    /// End of file on its input.
    pub(crate) fn close_input(&mut self) {
        self.input = None;
    }

    /// Waits until it has printed `needle`.
    pub(crate) fn expect(&self, needle: &str) -> Result<()> {
        let (begun, mut said) = (Instant::now(), lock(&self.out));
        while !contains(&said, needle.as_bytes()) {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            if left.is_zero() {
                bail!("no {needle:?} in {:?}; errors: {:?}", said.escape_ascii().to_string(), self.errors());
            }
            said = self.out.more.wait_timeout(said, left.min(PATIENCE / 10)).unwrap_or_else(PoisonError::into_inner).0;
            if self.readers.iter().all(JoinHandle::is_finished) && !contains(&said, needle.as_bytes()) {
                bail!("it ended without {needle:?}: {:?}; errors: {:?}", said.escape_ascii().to_string(), self.errors());
            }
        }
        Ok(())
    }

    /// Waits until what it has printed ends with one of `ends`: a prompt, after which nothing more comes.
    pub(crate) fn settles(&self, ends: &[&str]) -> Result<()> {
        until("a prompt", || ends.iter().any(|end| lock(&self.out).ends_with(end.as_bytes())))
            .with_context(|| self.printed().escape_ascii().to_string())
    }

    /// What it has printed so far.
    pub(crate) fn printed(&self) -> Vec<u8> {
        lock(&self.out).clone()
    }

    /// Another size of its terminal, until the program has told of it in `answer`. ssh misses a SIGWINCH that comes
    /// just before it waits; the program hears of each new size once.
    pub(crate) fn resize(&self, rows: u16, columns: u16, answer: &str) -> Result<()> {
        let near = self.near.as_ref().context("it has no terminal")?;
        tcsetwinsize(near.as_fd(), Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })?;
        until(answer, || {
            // It is not the foreground of a session, so the kernel tells it nothing.
            self.signal(Signal::WINCH).is_err() || contains(&lock(&self.out), answer.as_bytes())
        })?;
        self.expect(answer)
    }

    /// Signals the client itself.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Ends the client and its helpers at once, as a broken machine does.
    pub(crate) fn kill(mut self) -> Result<()> {
        kill_process_group(Pid::from_child(&self.child), Signal::KILL)?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Result<Outcome> {
        let Some(status) = wait(&mut self.child)? else {
            bail!("it did not end; it printed {:?}", self.printed().escape_ascii().to_string())
        };
        for reader in self.readers.drain(..) {
            reader.join().map_err(|_| anyhow::anyhow!("a reader broke"))?;
        }
        Ok(Outcome { status: status.code(), out: self.printed(), err: self.errors() })
    }

    fn errors(&self) -> String {
        String::from_utf8_lossy(&lock(&self.err)).into_owned()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _gone = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            let _gone = self.child.wait();
        }
    }
}

/// Reads to the end; a terminal whose client is gone ends with an error.
fn listen(mut from: impl Read + Send + 'static, said: &Arc<Said>) -> JoinHandle<()> {
    let said = said.clone();
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Some(bytes) = from.read(&mut buffer).ok().and_then(|n| buffer.get(..n)).filter(|bytes| !bytes.is_empty()) {
            lock(&said).extend_from_slice(bytes);
            said.more.notify_all();
        }
        said.more.notify_all();
    })
}

fn lock(said: &Said) -> MutexGuard<'_, Vec<u8>> {
    said.out.lock().unwrap_or_else(PoisonError::into_inner)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

//! Keystrokes: how long one takes to come back from a terminal over there, alone and beside a bulk transfer.

use crate::{
    route::Route,
    transfer::{Goods, begun},
};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    io::{Read, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Keystrokes of one run.
const KEYS: usize = 300;
/// Between two of them, beside what they take: faster than anybody types, and no busy loop.
const PAUSE: Duration = Duration::from_millis(2);

/// What else is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    Nothing,
    /// A download on the same connection.
    SameConnection,
    /// An upload on the same connection.
    Upload,
    /// A download on another connection.
    OtherConnection,
}

/// Microseconds a keystroke: the median, and the 99th percentile; MiB a second of the bulk transfer, where there is one.
pub(crate) fn keystrokes(route: &Route, goods: &Goods, beside: Beside) -> Result<Vec<f64>> {
    let (_master, options) = match beside {
        Beside::SameConnection | Beside::Upload => {
            let master = Master::start(route)?;
            let options = vec!["-o".to_owned(), format!("ControlPath={}", master.path.display())];
            (Some(master), options)
        }
        Beside::Nothing | Beside::OtherConnection => (None, Vec::new()),
    };
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let mut bulk = match beside {
        Beside::Nothing => None,
        Beside::Upload => Some(Bulk::up(route, goods, &options)?),
        Beside::SameConnection | Beside::OtherConnection => Some(Bulk::down(route, goods, &options)?),
    };
    let mut terminal = Terminal::start(route, &options)?;
    let (begun, before) = (Instant::now(), bulk.as_ref().map_or(0, Bulk::got));
    let mut times = (0..KEYS).map(|_| terminal.press()).collect::<Result<Vec<_>>>()?;
    if let Some(bulk) = &mut bulk {
        ensure!(bulk.child.try_wait()?.is_none(), "the bulk transfer ended early");
    }
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times.get((part * (times.len() - 1) as f64) as usize).copied().unwrap_or(f64::NAN);
    let rate = |bulk: &Bulk| (bulk.got() - before) as f64 / f64::from(1 << 20) / begun.elapsed().as_secs_f64();
    Ok([at(0.5), at(0.99)].into_iter().chain(bulk.as_ref().map(rate)).collect())
}

/// A terminal over there that says what it is told.
struct Terminal {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl Terminal {
    fn start(route: &Route, options: &[&str]) -> Result<Self> {
        let mut ssh = route.ssh(&[options, &["-tt"]].concat());
        // A shared connection's client remarks that our side is no terminal.
        ssh.stderr(Stdio::null());
        let (mut child, output) = begun(ssh.stdin(Stdio::piped()), "stty raw -echo; printf x; exec cat")?;
        let input = child.stdin.take().context("no input")?;
        let mut terminal = Self { child, input, output };
        (0..20).try_for_each(|_| terminal.press().map(drop))?;
        Ok(terminal)
    }

    /// Microseconds.
    fn press(&mut self) -> Result<f64> {
        let mut key = [0];
        let begun = Instant::now();
        self.input.write_all(b"k")?;
        self.output.read_exact(&mut key)?;
        let took = begun.elapsed();
        ensure!(key == *b"k");
        thread::sleep(PAUSE);
        Ok(took.as_secs_f64() * 1e6)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// A transfer for as long as it is held.
struct Bulk {
    child: Child,
    got: Arc<AtomicUsize>,
}

impl Bulk {
    fn down(route: &Route, goods: &Goods, options: &[&str]) -> Result<Self> {
        let command = format!("printf x; while cat {}; do :; done", goods.large().display());
        let (child, mut output) = begun(&mut route.ssh(options), &command)?;
        // Its end is the child's.
        let got = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&got);
        thread::spawn(move || {
            let mut buffer = vec![0; 256 * 1024];
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                count.fetch_add(length, Ordering::Relaxed);
            }
        });
        Ok(Self { child, got })
    }

    fn up(route: &Route, goods: &Goods, options: &[&str]) -> Result<Self> {
        let (mut child, _) = begun(route.ssh(options).stdin(Stdio::piped()), "printf x; exec cat >/dev/null")?;
        let mut input = child.stdin.take().context("no input")?;
        let data = fs::read(goods.large())?;
        let got = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&got);
        // Its end is the child's.
        thread::spawn(move || {
            for piece in data.chunks(256 * 1024).cycle() {
                if input.write_all(piece).is_err() {
                    return;
                }
                count.fetch_add(piece.len(), Ordering::Relaxed);
            }
        });
        Ok(Self { child, got })
    }

    /// Bytes so far.
    fn got(&self) -> usize {
        self.got.load(Ordering::Relaxed)
    }
}

impl Drop for Bulk {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// A connection that others share.
struct Master {
    child: Child,
    path: PathBuf,
}

impl Master {
    fn start(route: &Route) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("drawbridge-bench-{}-{}", std::process::id(), route.name));
        let options = ["-o", "ControlMaster=yes", "-o", &format!("ControlPath={}", path.display())];
        let (child, _) = begun(route.ssh(&options).stdin(Stdio::piped()), "printf x; exec cat")?;
        Ok(Self { child, path })
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        end(&mut self.child);
        // A killed master leaves it behind.
        let _ = fs::remove_file(&self.path);
    }
}

fn end(child: &mut Child) {
    // Fails only for one that has ended.
    let _ = child.kill();
    let _ = child.wait();
}

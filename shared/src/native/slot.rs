//! At most two processes serve one state folder: the one that does, and the one that takes its place.

use super::state_dir::{StateDir, StateFault};
use rand::RngExt;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::{
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};
use tokio::time;
use tracing::warn;

/// Processes on one state folder at a time.
pub const SLOTS: u8 = 2;
/// A holder as text, the word behind it, and more than that.
const MAX_TEXT: u64 = 128;
/// Where a process sees its PID namespace, as `pid:[4026531836]`.
const SPACE: &str = "/proc/self/ns/pid";
/// What stands in the file of one that hands over, behind the rest.
const LEAVING: &str = "hands over\n";
/// Who looks whether a slot is held locks it for a moment: only one that stays taken for so many looks is held.
const TRIES: u32 = 10;
/// Between two such looks.
const PAUSE: Duration = Duration::from_millis(10);
/// Between two looks whether a successor has ended.
const LOOK: Duration = Duration::from_secs(1);

/// A place among the processes of one state folder. Dropping it, or dying, leaves.
#[derive(Debug)]
pub struct Slot {
    number: u8,
    state: StateDir,
    own: Holder,
    /// Who held the other slot when this one was taken.
    elder: Option<Holder>,
    lock: File,
}

/// Who holds a slot, as its file says: the pid, and in a second line, which programs from before did not write, the mark.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Holder {
    /// 0 where there is none to be read.
    pid: u32,
    /// The PID namespace in which that is its number, and chance: of two containers each has a process 1, and the kernel gives a
    /// namespace's number away again.
    mark: Option<String>,
}

/// No place among the processes of a state folder.
#[derive(Debug, thiserror::Error)]
pub enum SlotFault {
    /// Reading or writing failed.
    #[error(transparent)]
    State(#[from] StateFault),
    /// One is handing over to another.
    #[error("processes {} and {} serve {} already, and the one hands over to the other: wait until that has ended", .pids[0], .pids[1], .path.display())]
    Full {
        /// Whose slots they are.
        pids: [u32; SLOTS as usize],
        /// The state folder.
        path: PathBuf,
    },
    /// Somebody serves, who was not to be replaced.
    #[error("process {pid} serves {} already: stop it first, or start with --take-over to take its place while its sessions go on", .path.display())]
    Taken {
        /// Who.
        pid: u32,
        /// The state folder.
        path: PathBuf,
    },
}

impl Slot {
    /// One on `state` for a process that is to serve there: beside another only where it is to `take_over` from that.
    pub fn claim(state: &StateDir, take_over: bool) -> Result<Self, SlotFault> {
        let slot = Self::take(state)?;
        if take_over { Ok(slot) } else { slot.alone() }
    }

    /// Takes a free one on `state`.
    pub fn take(state: &StateDir) -> Result<Self, SlotFault> {
        let own = Holder::this();
        for _ in 0..TRIES {
            for number in 0..SLOTS {
                if let Some(lock) = lock(state, number, &own)? {
                    let elder = held(state, 1 - number)?;
                    return Ok(Self { number, state: state.clone(), own, elder, lock });
                }
            }
            thread::sleep(PAUSE);
        }
        let pids = [Holder::read(state, 0)?.pid, Holder::read(state, 1)?.pid];
        Err(SlotFault::Full { pids, path: state.path("") })
    }

    /// Fails where another process was here first.
    fn alone(self) -> Result<Self, SlotFault> {
        match self.elder {
            Some(Holder { pid, .. }) => Err(SlotFault::Taken { pid, path: self.state.path("") }),
            None => Ok(self),
        }
    }

    /// 0 or 1; the other process, if there is one, has the other.
    pub const fn number(&self) -> u8 {
        self.number
    }

    /// Whether another process was here first.
    pub const fn has_elder(&self) -> bool {
        self.elder.is_some()
    }

    /// The process that holds the other slot now.
    pub fn other(&self) -> Option<u32> {
        self.other_holder().map(|other| other.pid)
    }

    fn other_holder(&self) -> Option<Holder> {
        // A file that cannot be read says nothing of a process.
        held(&self.state, 1 - self.number).unwrap_or_default()
    }

    /// Whether no other process is there, for all that can be told.
    pub fn is_alone(&self) -> bool {
        matches!(held(&self.state, 1 - self.number), Ok(None))
    }

    /// The process that takes this one's place, or has. One that was here first is not it.
    pub fn successor(&self) -> Option<u32> {
        self.other_holder().filter(|other| Some(other) != self.elder.as_ref()).map(|other| other.pid)
    }

    /// Waits until there is no successor, or not any more.
    pub async fn until_no_successor(&self) {
        while self.successor().is_some() {
            time::sleep(LOOK).await;
        }
    }

    /// Waits until there is one, or one again.
    pub async fn until_successor(&self) {
        while self.successor().is_none() {
            time::sleep(LOOK).await;
        }
    }

    /// Notes that this process has been asked to hand over: it is not to be asked again, which would end it.
    pub fn leave(&self) -> io::Result<()> {
        self.lock.write_all_at(format!("{}{LEAVING}", self.own).as_bytes(), 0)
    }

    /// Sends SIGTERM to the process that was here first, if it still is and does not hand over already; says whether. Fails where it
    /// cannot be told from here which process that is.
    pub fn ask_other(&self) -> io::Result<bool> {
        let Some(elder) = self.elder.as_ref().filter(|_| self.elder_stays()) else { return Ok(false) };
        let process = match pidfd_open(elder.seen_by(&self.own)?, PidfdFlags::empty()) {
            Err(rustix::io::Errno::SRCH) => return Ok(false),
            opened => opened?,
        };
        // Once opened, the descriptor is of one process, whatever becomes of its number: of the one that holds the lock?
        if !self.elder_stays() {
            return Ok(false);
        }
        pidfd_send_signal(process, Signal::TERM)?;
        Ok(true)
    }

    /// Whether who was here first still is, and does not hand over already.
    fn elder_stays(&self) -> bool {
        self.other_holder() == self.elder && !leaves(&self.state, 1 - self.number)
    }
}

impl Holder {
    /// This process. Without `/proc` its namespace is not known.
    fn this() -> Self {
        let mark = |space: PathBuf| format!("{} {:016x}", space.display(), rand::rng().random::<u64>());
        Self { pid: std::process::id(), mark: fs::read_link(SPACE).ok().map(mark) }
    }

    /// What the file of slot `number` says.
    fn read(state: &StateDir, number: u8) -> Result<Self, StateFault> {
        let text = text(state, number)?;
        let mut lines = text.lines();
        let pid = lines.next().and_then(|pid| pid.parse().ok()).unwrap_or_default();
        Ok(Self { pid, mark: lines.next().filter(|line| line.starts_with("pid:")).map(str::to_owned) })
    }

    /// Its number as process `own` has to call it.
    fn seen_by(&self, own: &Self) -> io::Result<Pid> {
        let apart = self.space().zip(own.space()).is_some_and(|(theirs, ours)| theirs != ours);
        // Where its namespace is not known, our own number is still not another process.
        if apart || self.pid == own.pid {
            return Err(io::Error::other("it runs in another container, where process numbers are others"));
        }
        let number = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        number.ok_or_else(|| io::Error::other("its process number is not known"))
    }

    fn space(&self) -> Option<&str> {
        self.mark.as_ref()?.split(' ').next()
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.pid)?;
        self.mark.iter().try_for_each(|mark| writeln!(f, "{mark}"))
    }
}

/// Whether two processes are on `state`.
pub fn shared(state: &StateDir) -> bool {
    // What cannot be told is taken for two, with which everything is as safe as with one.
    (0..SLOTS).all(|number| held(state, number).map_or(true, |pid| pid.is_some()))
}

fn path(state: &StateDir, number: u8) -> PathBuf {
    state.path(&format!("slot.{number}"))
}

/// The lock of slot `number` with `own` in it, unless somebody holds it.
fn lock(state: &StateDir, number: u8, own: &Holder) -> Result<Option<File>, StateFault> {
    let Some(file) = free(state, number)? else { return Ok(None) };
    if let Err(fault) = note(&file, own) {
        // The lock is the slot; the text only says whose. Better nobody's than that of whoever had it before.
        let _ = file.set_len(0);
        let path = path(state, number);
        warn!(%fault, path = %path.display(), "serving all the same; who looks there for this process does not find its number");
    }
    Ok(Some(file))
}

/// Writes over what stands there, whose room also a full disk still has, and cuts off what is left of a longer text.
fn note(file: &File, own: &Holder) -> io::Result<()> {
    let text = own.to_string();
    file.write_all_at(text.as_bytes(), 0)?;
    file.set_len(text.len() as u64)
}

/// The file of slot `number`, locked, unless somebody holds it.
fn free(state: &StateDir, number: u8) -> Result<Option<File>, StateFault> {
    let path = path(state, number);
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let locked = opened.map_err(TryLockError::Error).and_then(|file| file.try_lock().map(|()| file));
    match locked {
        Ok(file) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(StateFault::Io { path, source }),
    }
}

/// The process that serves the state folder at `path`, if one does: for who is none of them and only asks. A folder that has no
/// slots yet, or that may not be looked into, has none.
pub fn holder(path: &Path) -> Option<u32> {
    let state = StateDir::of_another(path);
    (0..SLOTS).filter(|number| self::path(&state, *number).exists()).find_map(|number| Some(held(&state, number).ok()??.pid))
}

fn held(state: &StateDir, number: u8) -> Result<Option<Holder>, StateFault> {
    if free(state, number)?.is_some() {
        return Ok(None);
    }
    Holder::read(state, number).map(Some)
}

/// Whether the process in slot `number` hands over to another.
fn leaves(state: &StateDir, number: u8) -> bool {
    text(state, number).is_ok_and(|text| text.ends_with(LEAVING))
}

fn text(state: &StateDir, number: u8) -> Result<String, StateFault> {
    let path = path(state, number);
    let mut text = String::new();
    let read = File::open(&path).and_then(|file| file.take(MAX_TEXT).read_to_string(&mut text));
    read.map(|_| text).map_err(|source| StateFault::Io { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{process, time::Instant};

    fn state() -> (tempfile::TempDir, StateDir) {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::open(&root.path().join("state")).unwrap();
        (root, state)
    }

    /// Whether `left` comes true: the child of another test keeps a lock that was let go, from its fork to its exec.
    fn soon(left: impl Fn() -> bool) -> bool {
        let begun = Instant::now();
        while !left() && begun.elapsed() < Duration::from_secs(10) {
            thread::sleep(PAUSE);
        }
        left()
    }

    #[test]
    fn who_only_asks_is_told_who_serves() {
        let (root, state) = state();
        let path = root.path().join("state");
        assert_eq!((holder(&path), holder(&root.path().join("none"))), (None, None));
        let slot = Slot::take(&state).unwrap();
        assert_eq!(holder(&path), Some(process::id()));
        drop(slot);
        assert!(soon(|| holder(&path).is_none()));
    }

    /// Another process' pid in slot `number`, under this one's lock.
    fn pretend(slot: &Slot, pid: u32) {
        fs::write(path(&slot.state, slot.number), pid.to_string()).unwrap();
    }

    #[test]
    fn two_find_a_place_and_a_third_is_told_of_both() {
        let (_root, state) = state();
        let first = Slot::take(&state).unwrap().alone().unwrap();
        assert_eq!((first.number(), first.other(), shared(&state)), (0, None, false));
        pretend(&first, 7);
        let second = Slot::take(&state).unwrap();
        assert_eq!((second.number(), second.other(), shared(&state)), (1, Some(7), true));
        assert_eq!((first.successor(), second.successor()), (Some(process::id()), None));
        let third = Slot::take(&state).unwrap_err().to_string();
        assert!(third.starts_with(&format!("processes 7 and {} serve ", process::id())), "{third}");
        drop(first);
        assert!(soon(|| second.other().is_none() && !shared(&state)));
        assert_eq!(Slot::take(&state).unwrap().number(), 0);
    }

    #[test]
    fn one_that_takes_nobodys_place_is_told_who_is_there() {
        let (_root, state) = state();
        let _first = Slot::take(&state).unwrap();
        let refused = Slot::take(&state).unwrap().alone().unwrap_err().to_string();
        assert!(refused.contains(&format!("process {} serves", process::id())) && refused.contains("--take-over"), "{refused}");
        assert!(soon(|| !shared(&state)), "who is refused leaves");
    }

    #[test]
    fn only_the_elder_is_asked_to_end_and_only_while_it_is_there() {
        use std::os::unix::process::ExitStatusExt;
        let (_root, state) = state();
        let mut elder = process::Command::new("sleep").arg("1000").spawn().unwrap();
        let first = Slot::take(&state).unwrap();
        pretend(&first, elder.id());
        let second = Slot::take(&state).unwrap();
        assert!(!first.ask_other().unwrap(), "a successor is not asked");
        assert!(second.ask_other().unwrap());
        assert_eq!(elder.wait().unwrap().signal(), Some(15));
        assert!(!second.ask_other().unwrap(), "it is gone");
    }

    #[test]
    fn a_pid_that_holds_no_lock_any_more_is_not_asked() {
        let (_root, state) = state();
        let mut stranger = process::Command::new("sleep").arg("1000").spawn().unwrap();
        let first = Slot::take(&state).unwrap();
        pretend(&first, stranger.id());
        let second = Slot::take(&state).unwrap();
        drop(first);
        assert!(!second.ask_other().unwrap());
        assert!(stranger.try_wait().unwrap().is_none());
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }

    #[test]
    fn one_that_hands_over_is_not_asked_again() {
        let (_root, state) = state();
        let mut elder = process::Command::new("sleep").arg("1000").spawn().unwrap();
        let first = Slot::take(&state).unwrap();
        first.leave().unwrap();
        let second = Slot::take(&state).unwrap();
        assert_eq!(second.other(), Some(process::id()), "the word hides no pid");
        fs::write(path(&state, 0), format!("{}\n{LEAVING}", elder.id())).unwrap();
        drop(second);
        assert!(!Slot::take(&state).unwrap().ask_other().unwrap());
        assert!(elder.try_wait().unwrap().is_none());
        elder.kill().unwrap();
        elder.wait().unwrap();
        drop(first);
        let next = Slot::take(&state).unwrap();
        assert!(next.number() == 0 && !leaves(&state, 0), "the word is that process', not the slot's");
    }

    #[test]
    fn a_full_disk_keeps_nobody_out() {
        let (_root, state) = state();
        std::os::unix::fs::symlink("/dev/full", path(&state, 0)).unwrap();
        let slot = Slot::claim(&state, false).unwrap();
        assert_eq!(slot.number(), 0);
        let refused = Slot::take(&state).unwrap().ask_other().unwrap_err().to_string();
        assert!(refused.contains("not known"), "{refused}");
    }

    #[test]
    fn nothing_is_left_of_a_longer_text() {
        let (_root, state) = state();
        fs::write(path(&state, 0), format!("4000000000\npid:[4000000000] {:016x}\n{LEAVING}", 0)).unwrap();
        let first = Slot::take(&state).unwrap();
        assert_eq!(text(&state, 0).unwrap(), first.own.to_string());
    }

    #[test]
    fn a_process_of_another_container_is_not_taken_for_one_of_ours() {
        let (_root, state) = state();
        let mut stranger = process::Command::new("sleep").arg("1000").spawn().unwrap();
        let first = Slot::take(&state).unwrap();
        fs::write(path(&state, 0), format!("{}\npid:[1] 0\n", stranger.id())).unwrap();
        let second = Slot::take(&state).unwrap();
        assert!(second.ask_other().unwrap_err().to_string().contains("another container"));
        assert!(stranger.try_wait().unwrap().is_none());
        stranger.kill().unwrap();
        stranger.wait().unwrap();
        drop(first);
    }

    #[test]
    fn nobody_asks_itself_to_end() {
        let (_root, state) = state();
        let first = Slot::take(&state).unwrap();
        assert!(Slot::take(&state).unwrap().ask_other().is_err());
        pretend(&first, process::id());
        assert!(Slot::take(&state).unwrap().ask_other().is_err(), "nor where a program from before says no namespace");
    }

    #[test]
    fn a_successor_of_the_same_number_as_the_elder_is_one() {
        let (_root, state) = state();
        let first = Slot::take(&state).unwrap();
        let second = Slot::take(&state).unwrap();
        assert_eq!(second.successor(), None);
        drop(first);
        assert!(soon(|| second.other().is_none()));
        let _third = Slot::take(&state).unwrap();
        assert_eq!(second.successor(), Some(process::id()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_successor_is_waited_for() {
        let (_root, state) = state();
        let first = Slot::take(&state).unwrap();
        first.until_no_successor().await;
        let comes = first.until_successor();
        tokio::pin!(comes);
        assert!(futures_util::poll!(&mut comes).is_pending());
        let second = Slot::take(&state).unwrap();
        comes.await;
        let wait = first.until_no_successor();
        tokio::pin!(wait);
        assert!(futures_util::poll!(&mut wait).is_pending());
        drop(second);
        wait.await;
    }
}

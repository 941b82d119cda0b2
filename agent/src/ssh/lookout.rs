//! Who is left of the groups that were hung up: one look at `/proc` at a time, on a thread beside, shared by all who wait.

use super::limits;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::{HashMap, HashSet},
    fs,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    sync::Semaphore,
    task::spawn_blocking,
    time::{Instant, sleep_until},
};

/// Looks at `/proc` for whoever watches a group; one for all connections.
#[derive(Debug)]
pub(super) struct Lookout {
    watched: Mutex<HashSet<Pid>>,
    /// One looks, the others wait for what it sees.
    turn: Semaphore,
    last: Mutex<Option<Sight>>,
}

/// A group that is watched while this is kept.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    lookout: &'a Lookout,
    group: Pid,
}

/// What one look saw.
#[derive(Clone, Debug)]
struct Sight {
    begun: Instant,
    mortals: Arc<HashMap<Pid, Vec<Pid>>>,
}

impl Default for Lookout {
    fn default() -> Self {
        Self { watched: Mutex::default(), turn: Semaphore::new(1), last: Mutex::default() }
    }
}

impl Lookout {
    /// From now on every look is for `group` too.
    pub(super) fn watch(&self, group: Pid) -> Watch<'_> {
        lock(&self.watched).insert(group);
        Watch { lookout: self, group }
    }

    /// What a look saw that began no earlier than now. Between two of them is [`limits::HANGUP_LOOK`], however many wait.
    async fn look(&self) -> Sight {
        let asked = Instant::now();
        // Never closed.
        let _turn = self.turn.acquire().await;
        let last = lock(&self.last).clone();
        match last {
            Some(sight) if sight.begun >= asked => return sight,
            Some(sight) => sleep_until(sight.begun + limits::HANGUP_LOOK).await,
            None => {}
        }
        let (begun, watched) = (Instant::now(), lock(&self.watched).clone());
        let mortals = spawn_blocking(move || mortals(&watched)).await.unwrap_or_default();
        let sight = Sight { begun, mortals: Arc::new(mortals) };
        *lock(&self.last) = Some(sight.clone());
        sight
    }
}

impl Watch<'_> {
    /// The living members of the group that would die of SIGHUP or have a handler for it.
    pub(super) async fn mortals(&self) -> Vec<Pid> {
        self.lookout.look().await.mortals.get(&self.group).cloned().unwrap_or_default()
    }

    /// SIGKILL for them. Whoever has ended since they were seen may have left its number to another.
    pub(super) async fn kill(&self) {
        let (group, seen) = (self.group, self.mortals().await);
        let killed = spawn_blocking(move || {
            for pid in seen.into_iter().filter(|&pid| group_of(pid) == Some(group) && !ignores_hangup(pid)) {
                let _gone = kill_process(pid, Signal::KILL);
            }
        });
        let _done = killed.await;
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        lock(&self.lookout.watched).remove(&self.group);
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// By group, for `groups` alone.
fn mortals(groups: &HashSet<Pid>) -> HashMap<Pid, Vec<Pid>> {
    let mut found: HashMap<Pid, Vec<Pid>> = HashMap::new();
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in all.filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw)) {
        if let Some(group) = group_of(pid).filter(|group| groups.contains(group))
            && !ignores_hangup(pid)
        {
            found.entry(group).or_default().push(pid);
        }
    }
    found
}

/// The group of a process that lives.
pub(super) fn group_of(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything; state, parent and group follow it.
    let mut fields = stat.rsplit(')').next()?.split_whitespace();
    fields.next().filter(|state| *state != "Z")?;
    fields.nth(1)?.parse().ok().and_then(Pid::from_raw)
}

/// Whether SIGHUP does nothing to a process.
pub(super) fn ignores_hangup(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 << (Signal::HUP.as_raw() - 1) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{os::unix::process::CommandExt, process::Command, time::Duration};

    /// A sleeper that leads a group of its own, and dies of SIGHUP even if these tests would not (`nohup`).
    fn sleeper() -> (std::process::Child, Pid) {
        let child = Command::new("env").args(["--default-signal=HUP", "sleep", "600"]).process_group(0).spawn().unwrap();
        let pid = Pid::from_child(&child);
        while ignores_hangup(pid) {
            std::thread::sleep(Duration::from_millis(5));
        }
        (child, pid)
    }

    #[tokio::test]
    async fn what_is_watched_is_seen_until_it_has_ended() {
        let lookout = Lookout::default();
        let ((mut one, first), (mut two, second)) = (sleeper(), sleeper());
        let (watch, other) = (lookout.watch(first), lookout.watch(second));
        assert_eq!((watch.mortals().await, other.mortals().await), (vec![first], vec![second]));
        watch.kill().await;
        one.wait().unwrap();
        assert_eq!((watch.mortals().await, other.mortals().await), (vec![], vec![second]));
        drop(other);
        assert_eq!(*lock(&lookout.watched), HashSet::from([first]));
        two.kill().unwrap();
        two.wait().unwrap();
    }

    /// Two hundred groups for a second: as many looks as one of them would have.
    #[tokio::test]
    async fn many_who_wait_share_one_look() {
        let lookout = Lookout::default();
        let begun = Instant::now();
        let groups: Vec<_> = (1..=200).map(|n| lookout.watch(Pid::from_raw(1_000_000_000 + n).unwrap())).collect();
        let looks = Mutex::new(HashSet::new());
        let watches = groups.iter().map(|_| async {
            while begun.elapsed() < Duration::from_secs(1) {
                let sight = lookout.look().await;
                lock(&looks).insert(sight.begun);
            }
        });
        futures_util::future::join_all(watches).await;
        let (looks, bound) = (lock(&looks).len() as u128, 1 + begun.elapsed().as_millis() / limits::HANGUP_LOOK.as_millis());
        assert!((2..=bound).contains(&looks), "{looks} looks, more than {bound}");
    }
}

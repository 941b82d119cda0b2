//! The state folder: its own user's alone, with an Ed25519 key and files that are whole or absent.

use super::identity::Identity;
use rand::RngExt;
use rustix::{
    io::Errno,
    process::{Pid, test_kill_process},
};
use ssh_key::{LineEnding, PrivateKey};
use std::{
    fs::{self, DirBuilder, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Longest key file.
const MAX_KEY_FILE: u64 = 16 * 1024;
/// How the name of a file ends that is not whole yet, after its writer's pid.
const DRAFT: &str = ".new";

/// The state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateFault {
    /// Reading or writing failed.
    #[error("cannot use {path}: {source}")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// Why. Raw, so that it is in the words and not once more behind them.
        r#source: io::Error,
    },
    /// Others may read or change it.
    #[error("{path} is open to other users: run `chmod go-rwx {path}`", path = .0.display())]
    Open(PathBuf),
    /// Somebody else can change it.
    #[error("{path} belongs to user {owner}, and this process runs as user {ours}: run it as its owner, or `chown` the folder and all in it", path = .path.display())]
    Owner {
        /// Which file or folder.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Ours.
        ours: u32,
    },
    /// A file where a folder is wanted.
    #[error("{path} is a file, and the state folder is wanted: name a folder, or one that is to be made", path = .0.display())]
    NotAFolder(PathBuf),
    /// Neither a folder nor a file of its own.
    #[error("{path} is not a plain file or folder: move it away", path = .0.display())]
    Odd(PathBuf),
    /// The key file holds something else.
    #[error("{path} is not an unencrypted ssh-ed25519 private key: move it away and a new one is made", path = .0.display())]
    NotAKey(PathBuf),
    /// The file is longer than it may be.
    #[error("{path} is longer than it can be: remove it", path = .0.display())]
    TooLong(PathBuf),
}

/// A folder of mode 0700.
#[derive(Clone, Debug)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// Opens the folder, creating it where it is missing.
    pub fn open(path: &Path) -> Result<Self, StateFault> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|fault| match fault.kind() {
            io::ErrorKind::AlreadyExists => StateFault::NotAFolder(path.to_path_buf()),
            _ => at(path)(fault),
        })?;
        private(path)?;
        let state = Self(path.to_path_buf());
        state.sweep();
        Ok(state)
    }

    /// The folder of another process, to read what it posts there; no key is taken from it.
    pub fn of_another(path: &Path) -> Self {
        Self(path.to_path_buf())
    }

    /// Where `name` is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The Ed25519 key in `name`, made and saved on first use, its public line beside it in `<name>.pub`.
    pub fn identity(&self, name: &str) -> Result<Identity, StateFault> {
        let path = self.path(name);
        if let Some(key) = self.held_identity(name)? {
            return Ok(key);
        }
        // Two processes that start on a new folder come away with one key.
        let folder = fs::File::open(&self.0).map_err(at(&path))?;
        folder.lock().map_err(at(&path))?;
        match self.held_identity(name)? {
            Some(key) => Ok(key),
            None => self.new_identity(name),
        }
    }

    fn held_identity(&self, name: &str) -> Result<Option<Identity>, StateFault> {
        let path = self.path(name);
        let Some(pem) = self.read(name, MAX_KEY_FILE)? else { return Ok(None) };
        private(&path)?;
        parse_key(&pem).ok_or(StateFault::NotAKey(path)).map(Some)
    }

    /// The bytes of `name`, at most `max` of them; `None` where there is no such file.
    pub fn read(&self, name: &str, max: u64) -> Result<Option<Vec<u8>>, StateFault> {
        let path = self.path(name);
        let file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(fault) => return Err(at(&path)(fault)),
        };
        let length = file.metadata().map_err(at(&path))?.len().min(max);
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        file.take(max + 1).read_to_end(&mut bytes).map_err(at(&path))?;
        if bytes.len() as u64 > max { Err(StateFault::TooLong(path)) } else { Ok(Some(bytes)) }
    }

    /// Replaces `name` in one step, mode 0600: a crash leaves the old bytes or the new ones.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StateFault> {
        // Another process may write the same name at the same time: the later one wins, with all of its bytes.
        let (path, draft) = (self.path(name), self.path(&format!("{name}.{}{DRAFT}", std::process::id())));
        let written = write_new(&draft, bytes).map_err(at(&path)).and_then(|()| fs::rename(&draft, &path).map_err(at(&path)));
        if written.is_err() {
            // Half a draft would take what a full disk has left.
            let _ = fs::remove_file(&draft);
        }
        written
    }

    /// Best effort: removes drafts of processes that died over them.
    fn sweep(&self) {
        let Ok(files) = fs::read_dir(&self.0) else { return };
        let dead = |file: &fs::DirEntry| file.file_name().to_str().and_then(author).is_some_and(|pid| !alive(pid));
        files.flatten().filter(dead).for_each(|file| drop(fs::remove_file(file.path())));
    }

    /// Makes names that were written or removed outlast a power cut, as the bytes behind them do already.
    pub fn sync(&self) -> Result<(), StateFault> {
        fs::File::open(&self.0).and_then(|folder| folder.sync_all()).map_err(at(&self.0))
    }

    fn new_identity(&self, name: &str) -> Result<Identity, StateFault> {
        let identity = Identity::from_seed(&rand::rng().random());
        let not_a_key = |_| StateFault::NotAKey(self.path(name));
        let pem = identity.ssh().to_openssh(LineEnding::LF).map_err(not_a_key)?;
        self.write(name, pem.as_bytes())?;
        self.write(&format!("{name}.pub"), format!("{}\n", identity.public().to_line()).as_bytes())?;
        // It is registered or enrolled next: after a power cut it must still be the one.
        self.sync()?;
        Ok(identity)
    }
}

/// The process whose draft is called `name`, if it is a draft.
fn author(name: &str) -> Option<Pid> {
    let (_, pid) = name.strip_suffix(DRAFT)?.rsplit_once('.')?;
    Pid::from_raw(pid.parse().ok()?)
}

fn alive(process: Pid) -> bool {
    test_kill_process(process) != Err(Errno::SRCH)
}

fn parse_key(pem: &[u8]) -> Option<Identity> {
    Identity::try_from(&PrivateKey::from_openssh(pem).ok()?).ok()
}

/// Ours alone: who owns a folder can change what is in it, whatever its mode.
fn private(path: &Path) -> Result<(), StateFault> {
    let (found, ours) = (fs::metadata(path).map_err(at(path))?, rustix::process::geteuid().as_raw());
    let path = path.to_path_buf();
    if !(found.is_dir() || found.is_file()) {
        Err(StateFault::Odd(path))
    } else if found.uid() != ours {
        Err(StateFault::Owner { path, owner: found.uid(), ours })
    } else if found.mode() & 0o077 != 0 {
        Err(StateFault::Open(path))
    } else {
        Ok(())
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn at(path: &Path) -> impl Fn(io::Error) -> StateFault {
    let path = path.to_path_buf();
    move |source| StateFault::Io { path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> (tempfile::TempDir, StateDir) {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::open(&root.path().join("deep/state")).unwrap();
        (root, state)
    }

    #[test]
    fn a_key_is_made_once_and_kept_private() {
        let (_root, state) = state();
        let key = state.identity("key").unwrap();
        assert_eq!(state.identity("key").unwrap().public(), key.public());
        assert_eq!(fs::metadata(state.path("key")).unwrap().mode() & 0o777, 0o600);
        let line = fs::read_to_string(state.path("key.pub")).unwrap();
        assert_eq!(line.trim(), key.public().to_line());
    }

    #[test]
    fn many_at_once_come_away_with_one_key() {
        let (_root, state) = state();
        let keys: Vec<_> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8).map(|_| scope.spawn(|| state.identity("key").unwrap().public())).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
        assert_eq!(state.identity("key").unwrap().public(), keys[0]);
    }

    #[test]
    fn what_others_may_read_is_refused() {
        let (_root, state) = state();
        state.identity("key").unwrap();
        fs::set_permissions(state.path("key"), Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(state.identity("key"), Err(StateFault::Open(_))));
        fs::set_permissions(state.path("."), Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(StateDir::open(&state.path("")), Err(StateFault::Open(_))));
    }

    #[test]
    fn what_somebody_else_owns_is_refused() {
        let (_root, state) = state();
        state.identity("key").unwrap();
        // Only the superuser can give files away.
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(state.path("key"), Some(65_534), None).unwrap();
            assert!(matches!(state.identity("key"), Err(StateFault::Owner { owner: 65_534, .. })));
            std::os::unix::fs::chown(state.path("."), Some(65_534), None).unwrap();
            assert!(matches!(StateDir::open(&state.path("")), Err(StateFault::Owner { .. })));
        }
        assert!(matches!(private(Path::new("/dev/null")), Err(StateFault::Odd(_))));
    }

    #[test]
    fn a_file_is_no_state_folder_and_a_reason_is_told_once() {
        use std::error::Error;
        let (_root, state) = state();
        state.write("key", b"hello").unwrap();
        assert!(matches!(StateDir::open(&state.path("key")), Err(StateFault::NotAFolder(_))));
        let below = StateDir::open(&state.path("key/below")).unwrap_err();
        assert!(below.to_string().contains("Not a directory") && below.source().is_none(), "{below:?}");
    }

    #[test]
    fn half_a_draft_is_not_left_behind() {
        let (_root, state) = state();
        fs::create_dir(state.path("key")).unwrap();
        state.write("key", b"hello").unwrap_err();
        assert_eq!(fs::read_dir(state.path("")).unwrap().count(), 1);
    }

    #[test]
    fn drafts_of_the_dead_are_removed() {
        let (_root, state) = state();
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        let (theirs, ours) = (format!("key.{}.new", gone.id()), format!("key.{}.new", std::process::id()));
        let files = [&theirs, &ours, "key.new", "new"].map(|name| state.path(name));
        files.iter().for_each(|file| fs::write(file, b"half").unwrap());
        StateDir::open(&state.path("")).unwrap();
        assert_eq!(files.map(|file| file.exists()), [false, true, true, true]);
    }

    #[test]
    fn garbage_is_not_a_key() {
        let (_root, state) = state();
        state.write("key", b"hello").unwrap();
        assert!(matches!(state.identity("key"), Err(StateFault::NotAKey(_))));
        assert!(matches!(state.read("key", 4), Err(StateFault::TooLong(_))));
        assert!(matches!(state.read("missing", 4), Ok(None)));
    }
}

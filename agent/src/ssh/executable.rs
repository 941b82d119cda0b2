//! The agent's own program, held open, so that a newer one on the disk is not what a running agent starts.

use super::account::Account;
use rustix::{
    fs::{CWD, Mode, OFlags, fstat, openat},
    io::{FdFlags, fcntl_setfd},
};
use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
};

/// A `drawbridge-agent` that can be started; cheap to clone.
#[derive(Clone, Debug)]
pub struct Executable(Arc<OwnedFd>);

impl Executable {
    /// What it calls itself.
    pub(super) const NAME: &str = "drawbridge-agent";
    /// Its argument that makes it an SFTP server.
    pub(super) const SFTP: &str = "sftp-server";
    /// Its argument that makes it run a script and become a session's program.
    pub(super) const START_UP: &str = "start-up";
    /// By which name it executes itself once more.
    pub(super) const SELF: &str = "/proc/self/exe";

    /// The one that runs.
    pub fn running() -> io::Result<Self> {
        Self::at(Path::new(Self::SELF))
    }

    /// The one in a file; it has to be a binary, not a script.
    pub fn at(path: &Path) -> io::Result<Self> {
        Ok(Self(Arc::new(openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)))
    }

    /// Whether `account` may execute it, by its mode.
    pub(super) fn is_for(&self, account: &Account) -> bool {
        let Ok(seen) = fstat(&*self.0) else { return false };
        let groups = account.assumed.as_ref().map_or(&[][..], |assumed| &assumed.groups);
        let bit = match account.uid {
            0 => 0o111,
            uid if uid == seen.st_uid => 0o100,
            _ if account.gid == seen.st_gid || groups.contains(&seen.st_gid) => 0o010,
            _ => 0o001,
        };
        account.assumed.is_none() || seen.st_mode & bit != 0
    }

    /// Makes it stay open in the program that the calling process, a forked child, becomes: its shell finds it by the same name.
    /// System calls only.
    pub(super) fn keep(&self) -> io::Result<()> {
        Ok(fcntl_setfd(&*self.0, FdFlags::empty())?)
    }

    /// By which name it is executed in a child of this process, while this is kept.
    pub(super) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

impl PartialEq for Executable {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Executable {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::account::Assumed;
    use std::{
        fs,
        os::unix::fs::{MetadataExt, PermissionsExt},
        process::Command,
    };
    use tempfile::TempDir;

    fn says(executable: &Executable) -> Vec<u8> {
        Command::new(executable.path()).arg("held").output().unwrap().stdout
    }

    #[test]
    fn it_stays_what_it_was_when_its_file_is_replaced() {
        let dir = TempDir::new().unwrap();
        let (file, newer) = (dir.path().join("file"), dir.path().join("newer"));
        fs::copy("/bin/echo", &file).unwrap();
        fs::copy("/bin/false", &newer).unwrap();
        let executable = Executable::at(&file).unwrap();
        assert_eq!(says(&executable), b"held\n");
        fs::rename(&newer, &file).unwrap();
        assert_eq!(says(&executable), b"held\n");
        fs::remove_file(&file).unwrap();
        assert_eq!(says(&executable), b"held\n");
    }

    #[test]
    fn a_binary_may_be_for_some_accounts_only() {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let account = |uid, groups: &[u32]| Account {
            uid,
            gid: 4321,
            assumed: Some(Assumed { groups: groups.to_vec() }),
            ..Account::current()
        };
        let own = fs::metadata(&file).unwrap();
        for (mode, expected) in [(0o700, [true, true, false, false]), (0o750, [true, true, true, false]), (0o755, [true; 4])] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let executable = Executable::at(&file).unwrap();
            let accounts = [account(0, &[]), account(own.uid(), &[]), account(4321, &[own.gid()]), account(4321, &[])];
            assert_eq!(accounts.map(|account| executable.is_for(&account)), expected, "{mode:o}");
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(Executable::at(&file).unwrap().is_for(&Account { assumed: None, ..account(4321, &[]) }), "it runs as that");
    }

    #[test]
    fn the_running_one_is_this_test() {
        let list = Command::new(Executable::running().unwrap().path()).arg("--list").output().unwrap();
        assert!(String::from_utf8_lossy(&list.stdout).contains("the_running_one_is_this_test"));
    }
}

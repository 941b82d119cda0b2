//! The agent's own program, held open, so that a newer one on the disk is not what a running agent starts.

use rustix::fs::{CWD, Mode, OFlags, openat};
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
    use std::{fs, process::Command};
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
    fn the_running_one_is_this_test() {
        let list = Command::new(Executable::running().unwrap().path()).arg("--list").output().unwrap();
        assert!(String::from_utf8_lossy(&list.stdout).contains("the_running_one_is_this_test"));
    }
}

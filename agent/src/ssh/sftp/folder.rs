//! An open folder and its entries.

use super::{
    attributes::Attributes,
    file::FileId,
    limits,
    listing::Lister,
    reply::{Names, Reply},
    status::Code,
};
use rustix::{
    fs::{AtFlags, Dir, fstat, statat},
    io::Errno,
};
use std::{
    os::fd::OwnedFd,
    sync::{Mutex, PoisonError},
};

/// A folder that the client has opened.
#[derive(Debug)]
pub(super) struct Folder {
    entries: Mutex<Dir>,
    pub(super) id: FileId,
}

impl Folder {
    /// `fd`, from its first entry on.
    pub(super) fn new(fd: OwnedFd) -> Result<Self, Errno> {
        let stat = fstat(&fd)?;
        Ok(Self { entries: Mutex::new(Dir::new(fd)?), id: (stat.st_dev, stat.st_ino) })
    }

    /// The next entries, `.` and `..` among them; what is gone since is left out.
    pub(super) fn list(&self, id: u32, lister: &Lister) -> Reply {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names = Names::new(id, limits::LISTING);
        while let Some(Ok(entry)) = (!names.is_full()).then(|| entries.read()).flatten() {
            let name = entry.file_name();
            let Ok(stat) = entries.fd().and_then(|fd| statat(fd, name, AtFlags::SYMLINK_NOFOLLOW)) else { continue };
            names.push(name.to_bytes(), &lister.line(name.to_bytes(), &stat), &Attributes::from(&stat));
        }
        if names.is_empty() { Err(Code::Eof.into()) } else { Ok(names.finish()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::sftp::listing::Owners;
    use rustix::fs::{CWD, Mode, OFlags, openat};
    use std::{fs, path::Path};
    use tempfile::TempDir;

    fn count(path: &Path) -> (usize, u32) {
        let fd = openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let (folder, owners) = (Folder::new(fd).unwrap(), Owners::default());
        let lister = Lister::new(&owners, 0);
        let (mut messages, mut names) = (0, 0);
        loop {
            match folder.list(1, &lister) {
                Ok(packet) => {
                    let bytes = packet.finish();
                    assert!(bytes.len() < 34_000, "{} bytes", bytes.len());
                    names += u32::from_be_bytes(bytes[9..13].try_into().unwrap());
                    messages += 1;
                }
                Err(status) => {
                    assert_eq!(status.code, Code::Eof);
                    assert_eq!(folder.list(1, &lister).unwrap_err().code, Code::Eof);
                    return (messages, names);
                }
            }
        }
    }

    #[test]
    fn an_empty_folder_has_two_entries() {
        assert_eq!(count(TempDir::new().unwrap().path()), (1, 2));
    }

    #[test]
    fn many_entries_come_in_messages_of_a_fair_size() {
        let dir = TempDir::new().unwrap();
        for n in 0..1000 {
            fs::write(dir.path().join(format!("{n:0200}")), "").unwrap();
        }
        let (messages, names) = count(dir.path());
        assert_eq!(names, 1002);
        assert!((10..30).contains(&messages), "{messages} messages");
    }
}

//! An open file and what is done with it.

use super::{
    attributes::Attributes,
    change, limits,
    reply::{self, Reply},
    status::{Code, Status},
};
use rustix::{
    buffer::spare_capacity,
    fs::{copy_file_range, fstat, fstatvfs, fsync},
    io::{Errno, pread, pwrite, retry_on_intr, write},
};
use std::os::fd::{IntoRawFd, OwnedFd};

/// Which file something is about, whatever it is called: device and inode.
pub(super) type FileId = (u64, u64);

/// A file that the client has opened.
#[derive(Debug)]
pub(super) struct File {
    fd: OwnedFd,
    appends: bool,
    pub(super) id: FileId,
}

impl File {
    /// `fd`, which writes at the file's end alone if it `appends`.
    pub(super) fn new(fd: OwnedFd, appends: bool) -> Result<Self, Errno> {
        let stat = fstat(&fd)?;
        Ok(Self { fd, appends, id: (stat.st_dev, stat.st_ino) })
    }

    /// Closes it; some file systems tell only now that the disk is full.
    pub(super) fn close(self) -> Result<(), Errno> {
        nix::unistd::close(self.fd.into_raw_fd()).map_err(|errno| Errno::from_raw_os_error(errno as i32))
    }

    /// Up to `length` bytes from `offset`.
    pub(super) fn read(&self, id: u32, offset: u64, length: u32) -> Reply {
        let length = length.min(limits::PIECE) as usize;
        reply::data(id, length, |bytes| {
            if length == 0 {
                return Ok(());
            }
            match retry_on_intr(|| pread(&self.fd, spare_capacity(bytes), offset))? {
                0 => Err(Code::Eof.into()),
                _ => Ok(()),
            }
        })
    }

    /// All of `data`, at `offset` or at the file's end.
    pub(super) fn write(&self, mut offset: u64, mut data: &[u8]) -> Result<(), Status> {
        while !data.is_empty() {
            let written = retry_on_intr(|| if self.appends { write(&self.fd, data) } else { pwrite(&self.fd, data, offset) })?;
            if written == 0 {
                return Err(Code::Failure.into());
            }
            data = data.get(written..).unwrap_or_default();
            offset = offset.saturating_add(written as u64);
        }
        Ok(())
    }

    pub(super) fn attributes(&self, id: u32) -> Reply {
        Ok(reply::attributes(id, &Attributes::from(&fstat(&self.fd)?)))
    }

    pub(super) fn change(&self, attributes: &Attributes) -> Result<(), Status> {
        change::file(&self.fd, attributes)
    }

    pub(super) fn sync(&self) -> Result<(), Status> {
        Ok(retry_on_intr(|| fsync(&self.fd))?)
    }

    pub(super) fn space(&self, id: u32) -> Reply {
        Ok(reply::space(id, &fstatvfs(&self.fd)?))
    }

    /// Copies from `offset` of this file to `at` of another one: `length` bytes, or up to the end where that is 0.
    pub(super) fn copy(&self, offset: u64, length: u64, to: &Self, at: u64) -> Result<(), Status> {
        let mut copy = Copy { from: self, offset, to, at };
        let mut left = if length == 0 { u64::MAX } else { length };
        while left > 0 {
            match copy.piece(left)? {
                0 if length == 0 => return Ok(()),
                0 => return Err(Code::Eof.into()),
                copied => left = left.saturating_sub(copied),
            }
        }
        Ok(())
    }
}

/// A copy under way.
struct Copy<'a> {
    from: &'a File,
    offset: u64,
    to: &'a File,
    at: u64,
}

impl Copy<'_> {
    /// Copies some of what is left: in the kernel if it can, which may share the blocks.
    fn piece(&mut self, left: u64) -> Result<u64, Status> {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(1 << 30);
        let (mut offset, mut at) = (self.offset, self.at);
        let in_kernel = retry_on_intr(|| copy_file_range(&self.from.fd, Some(&mut offset), &self.to.fd, Some(&mut at), most));
        let copied = match in_kernel {
            // Files of /proc and the like have no length to the kernel, and yet something to be read.
            Ok(0) | Err(_) => self.by_hand(most.min(limits::COPY))?,
            Ok(copied) => copied as u64,
        };
        (self.offset, self.at) = (self.offset.saturating_add(copied), self.at.saturating_add(copied));
        Ok(copied)
    }

    fn by_hand(&self, most: usize) -> Result<u64, Status> {
        let mut bytes = Vec::with_capacity(most);
        let read = retry_on_intr(|| pread(&self.from.fd, spare_capacity(&mut bytes), self.offset))?;
        self.to.write(self.at, &bytes)?;
        Ok(read as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode, OFlags, openat};
    use std::{fs, path::Path};
    use tempfile::TempDir;

    fn open(path: &Path, flags: OFlags) -> File {
        let fd = openat(CWD, path, flags | OFlags::CREATE | OFlags::CLOEXEC, Mode::from_raw_mode(0o600)).unwrap();
        File::new(fd, flags.contains(OFlags::APPEND)).unwrap()
    }

    fn data(reply: Reply) -> Vec<u8> {
        reply.unwrap().finish()[13..].to_vec()
    }

    #[test]
    fn pieces_are_read_up_to_the_end() {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("a"), "abcdef").unwrap();
        let file = open(&dir.path().join("a"), OFlags::RDONLY);
        assert_eq!(data(file.read(1, 2, 3)), b"cde");
        assert_eq!(data(file.read(1, 4, 1 << 20)), b"ef");
        assert_eq!(data(file.read(1, 9, 0)), b"");
        assert_eq!(file.read(1, 6, 1).unwrap_err().code, Code::Eof);
        assert_eq!(file.read(1, u64::MAX, 1).unwrap_err().code, Code::BadMessage);
    }

    #[test]
    fn writes_leave_holes_and_appends_do_not() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("a");
        let file = open(&path, OFlags::WRONLY);
        file.write(1 << 30, b"end").unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(metadata.len(), (1 << 30) + 3);
        assert!(std::os::unix::fs::MetadataExt::blocks(&metadata) < 1024);
        file.change(&Attributes { size: Some(2), ..Attributes::default() }).unwrap();
        open(&path, OFlags::WRONLY | OFlags::APPEND).write(1000, b"xy").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"\0\0xy");
    }

    #[test]
    fn copies_stop_where_they_should() {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("a"), "abcdef").unwrap();
        let (from, to) = (open(&dir.path().join("a"), OFlags::RDONLY), open(&dir.path().join("b"), OFlags::RDWR));
        from.copy(1, 2, &to, 1).unwrap();
        from.copy(3, 0, &to, 3).unwrap();
        assert_eq!(data(to.read(1, 0, 100)), b"\0bcdef");
        assert_eq!(from.copy(4, 5, &to, 0).unwrap_err().code, Code::Eof);
    }

    #[test]
    fn what_the_kernel_does_not_copy_is_copied_by_hand() {
        let dir = TempDir::new().unwrap();
        let (from, to) = (open(Path::new("/proc/self/stat"), OFlags::RDONLY), open(&dir.path().join("b"), OFlags::RDWR));
        from.copy(0, 0, &to, 0).unwrap();
        assert!(!data(to.read(1, 0, 100)).is_empty());
    }
}

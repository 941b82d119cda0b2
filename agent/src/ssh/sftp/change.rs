//! Changes of attributes, as OpenSSH's server makes them: every one is tried, and the last that failed is told.

use super::{attributes::Attributes, status::Status};
use rustix::{
    fs::{
        AtFlags, CWD, Gid, Mode, OFlags, Timespec, Timestamps, Uid, chmod, chmodat, chownat, fchmod, fchown, ftruncate, futimens,
    },
    fs::{FileType, openat, statat, utimensat},
    io::Errno,
};
use std::os::fd::{AsFd, AsRawFd};

/// Changes an open file.
pub(super) fn file(fd: impl AsFd, attributes: &Attributes) -> Result<(), Status> {
    let fd = fd.as_fd();
    all([
        attributes.size.map(|size| ftruncate(fd, size)),
        attributes.permissions.map(|bits| fchmod(fd, mode(bits))),
        attributes.times.map(|times| futimens(fd, &timestamps(times))),
        attributes.owner.map(|(user, group)| fchown(fd, uid(user), gid(group))),
    ])
}

/// Changes what `path` leads to.
pub(super) fn path(path: &[u8], attributes: &Attributes) -> Result<(), Status> {
    all([
        attributes.size.map(|size| truncate(path, size)),
        attributes.permissions.map(|bits| chmod(path, mode(bits))),
        attributes.times.map(|times| utimensat(CWD, path, &timestamps(times), AtFlags::empty())),
        attributes.owner.map(|(user, group)| chownat(CWD, path, uid(user), gid(group), AtFlags::empty())),
    ])
}

/// Changes `path` itself, also where it is a link; a link has no size to change.
pub(super) fn link(path: &[u8], attributes: &Attributes) -> Result<(), Status> {
    if attributes.size.is_some() {
        return Err(Errno::INVAL.into());
    }
    all([
        attributes.permissions.map(|bits| chmod_no_link(path, mode(bits))),
        attributes.times.map(|times| utimensat(CWD, path, &timestamps(times), AtFlags::SYMLINK_NOFOLLOW)),
        attributes.owner.map(|(user, group)| chownat(CWD, path, uid(user), gid(group), AtFlags::SYMLINK_NOFOLLOW)),
    ])
}

fn all(outcomes: impl IntoIterator<Item = Option<Result<(), Errno>>>) -> Result<(), Status> {
    let last = outcomes.into_iter().flatten().filter_map(Result::err).last();
    last.map_or(Ok(()), |errno| Err(errno.into()))
}

fn truncate(path: &[u8], size: u64) -> Result<(), Errno> {
    let size = size.try_into().map_err(|_| Errno::INVAL)?;
    nix::unistd::truncate(path, size).map_err(|errno| Errno::from_raw_os_error(errno as i32))
}

/// Links have no permissions of their own. The rest is held open meanwhile, so that no link can take its place; the
/// kernel takes no such descriptor for `fchmod`, only its name.
fn chmod_no_link(path: &[u8], mode: Mode) -> Result<(), Errno> {
    let held = openat(CWD, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let stat = statat(&held, "", AtFlags::EMPTY_PATH)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
        return Err(Errno::OPNOTSUPP);
    }
    chmodat(CWD, format!("/proc/self/fd/{}", held.as_raw_fd()), mode, AtFlags::empty())
}

fn mode(bits: u32) -> Mode {
    Mode::from_raw_mode(bits & 0o7777)
}

fn timestamps((accessed, modified): (u32, u32)) -> Timestamps {
    let at = |seconds: u32| Timespec { tv_sec: seconds.into(), tv_nsec: 0 };
    Timestamps { last_access: at(accessed), last_modification: at(modified) }
}

/// The highest number stands for "as it is", as with chown(2).
fn uid(id: u32) -> Option<Uid> {
    (id != u32::MAX).then(|| Uid::from_raw(id))
}

fn gid(id: u32) -> Option<Gid> {
    (id != u32::MAX).then(|| Gid::from_raw(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::sftp::status::Code;
    use std::{
        fs,
        os::unix::{ffi::OsStrExt, fs::MetadataExt, fs::symlink},
    };
    use tempfile::TempDir;

    fn times(seconds: u32) -> Attributes {
        Attributes { times: Some((seconds, seconds)), ..Attributes::default() }
    }

    #[test]
    fn a_path_is_changed_through_links_and_a_link_itself() {
        let dir = TempDir::new().unwrap();
        let (target, alias) = (dir.path().join("target"), dir.path().join("alias"));
        fs::write(&target, "abcdef").unwrap();
        symlink(&target, &alias).unwrap();
        let alias_bytes = alias.as_os_str().as_bytes();
        let wanted = Attributes { size: Some(3), permissions: Some(0o101_640), owner: Some((u32::MAX, u32::MAX)), ..times(1000) };
        path(alias_bytes, &wanted).unwrap();
        link(alias_bytes, &times(2000)).unwrap();
        let (file, alias) = (fs::metadata(&target).unwrap(), fs::symlink_metadata(&alias).unwrap());
        assert_eq!((file.len(), file.mode() & 0o7777, file.mtime(), alias.mtime()), (3, 0o1640, 1000, 2000));
    }

    #[test]
    fn a_links_own_permissions_cannot_be_changed_but_a_files_can() {
        let dir = TempDir::new().unwrap();
        let (target, alias) = (dir.path().join("target"), dir.path().join("alias"));
        fs::write(&target, "").unwrap();
        symlink(&target, &alias).unwrap();
        let wanted = Attributes { permissions: Some(0o400), ..Attributes::default() };
        assert_eq!(link(alias.as_os_str().as_bytes(), &wanted).unwrap_err().code, Code::Failure);
        link(target.as_os_str().as_bytes(), &wanted).unwrap();
        assert_eq!(fs::metadata(&target).unwrap().mode() & 0o7777, 0o400);
    }

    #[test]
    fn the_rest_is_changed_where_one_change_fails() {
        let dir = TempDir::new().unwrap();
        let bytes = dir.path().as_os_str().as_bytes();
        let told = path(bytes, &Attributes { size: Some(0), ..times(1000) });
        assert_eq!(told.unwrap_err().words, "Is a directory");
        assert_eq!(fs::metadata(dir.path()).unwrap().mtime(), 1000);
        assert_eq!(link(bytes, &Attributes { size: Some(0), ..times(2000) }).unwrap_err().code, Code::BadMessage);
    }
}

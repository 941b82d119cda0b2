//! What is done by path: each of these runs while nothing else does.

use super::{
    attributes::Attributes,
    change,
    file::File,
    folder::Folder,
    realpath,
    reply::{self, Reply},
    status::{Code, Status},
};
use nix::unistd::User;
use rustix::{
    fs::{
        CWD, FileType, Mode, OFlags, RenameFlags, link, lstat, mkdir, openat, readlink, rename, renameat_with, rmdir, stat,
        statvfs, symlink, unlink,
    },
    io::Errno,
    process::getcwd,
};
use std::{env, os::unix::ffi::OsStringExt};

const NO_USER: &str = "no such user";

const READ: u32 = 0x01;
const WRITE: u32 = 0x02;
const APPEND: u32 = 0x04;
const CREATE: u32 = 0x08;
const TRUNCATE: u32 = 0x10;
const EXCLUSIVE: u32 = 0x20;

/// Opens a file, or makes one with the permissions of `attributes` less the umask.
pub(super) fn open(path: &[u8], flags: u32, attributes: &Attributes) -> Result<File, Status> {
    let mode = Mode::from_raw_mode(attributes.permissions.unwrap_or(0o666) & 0o7777);
    let fd = openat(CWD, path, open_flags(flags) | OFlags::NOCTTY | OFlags::CLOEXEC, mode)?;
    Ok(File::new(fd, flags & APPEND != 0)?)
}

fn open_flags(flags: u32) -> OFlags {
    let access = match flags & (READ | WRITE) {
        WRITE => OFlags::WRONLY,
        READ | 0 => OFlags::RDONLY,
        _ => OFlags::RDWR,
    };
    let more = [(APPEND, OFlags::APPEND), (CREATE, OFlags::CREATE), (TRUNCATE, OFlags::TRUNC), (EXCLUSIVE, OFlags::EXCL)];
    more.into_iter().filter(|&(flag, _)| flags & flag != 0).fold(access, |all, (_, flag)| all | flag)
}

pub(super) fn open_folder(path: &[u8]) -> Result<Folder, Status> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(Folder::new(openat(CWD, path, flags, Mode::empty())?)?)
}

pub(super) fn attributes(id: u32, path: &[u8]) -> Reply {
    Ok(reply::attributes(id, &Attributes::from(&stat(path)?)))
}

pub(super) fn link_attributes(id: u32, path: &[u8]) -> Reply {
    Ok(reply::attributes(id, &Attributes::from(&lstat(path)?)))
}

pub(super) fn change(path: &[u8], attributes: &Attributes) -> Result<(), Status> {
    change::path(path, attributes)
}

pub(super) fn change_link(path: &[u8], attributes: &Attributes) -> Result<(), Status> {
    change::link(path, attributes)
}

pub(super) fn remove(path: &[u8]) -> Result<(), Errno> {
    unlink(path)
}

pub(super) fn make_folder(path: &[u8], attributes: &Attributes) -> Result<(), Errno> {
    mkdir(path, Mode::from_raw_mode(attributes.permissions.unwrap_or(0o777) & 0o7777))
}

pub(super) fn remove_folder(path: &[u8]) -> Result<(), Errno> {
    rmdir(path)
}

/// Renames unless something has the new name already.
pub(super) fn rename_new(from: &[u8], to: &[u8]) -> Result<(), Status> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system or a kernel that cannot do it in one step.
        Err(Errno::INVAL | Errno::NOSYS) => rename_in_steps(from, to),
        done => Ok(done?),
    }
}

/// A file's second name comes into being only if it is new; folders have no second names, and are renamed in a race.
fn rename_in_steps(from: &[u8], to: &[u8]) -> Result<(), Status> {
    if FileType::from_raw_mode(lstat(from)?.st_mode) == FileType::RegularFile {
        match link(from, to) {
            Ok(()) => return Ok(unlink(from).inspect_err(|_| _ = unlink(to))?),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    match lstat(to) {
        Ok(_) => Err(Errno::EXIST.into()),
        Err(_) => Ok(rename(from, to)?),
    }
}

pub(super) fn rename_over(from: &[u8], to: &[u8]) -> Result<(), Errno> {
    rename(from, to)
}

pub(super) fn hard_link(from: &[u8], to: &[u8]) -> Result<(), Errno> {
    link(from, to)
}

pub(super) fn make_link(target: &[u8], link: &[u8]) -> Result<(), Errno> {
    symlink(target, link)
}

pub(super) fn read_link(id: u32, path: &[u8]) -> Reply {
    Ok(reply::path(id, readlink(path, Vec::new())?.as_bytes()))
}

pub(super) fn space(id: u32, path: &[u8]) -> Reply {
    Ok(reply::space(id, &statvfs(path)?))
}

/// The path from the root; nothing stands for the current folder.
pub(super) fn real(id: u32, path: &[u8]) -> Reply {
    let here = getcwd(Vec::new())?.into_bytes();
    Ok(reply::path(id, &realpath::resolve(&here, path)?))
}

/// The same with `~` for the folder in which the session began, and `~name` for a user's home.
pub(super) fn expand(id: u32, path: &[u8]) -> Reply {
    match path.strip_prefix(b"~") {
        None => real(id, path),
        Some(rest) => {
            let end = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
            let (user, rest) = rest.split_at(end);
            let mut expanded = if user.is_empty() {
                getcwd(Vec::new())?.into_bytes()
            } else {
                home_of(user).ok_or_else(|| Status::new(Code::NoSuchFile, NO_USER))?
            };
            expanded.extend_from_slice(rest);
            real(id, &expanded)
        }
    }
}

/// The home folder of `user`; of the account itself where the name is empty.
pub(super) fn home(id: u32, user: &[u8]) -> Reply {
    let own = || env::var_os("HOME").map(OsStringExt::into_vec);
    let home = if user.is_empty() { own() } else { home_of(user) };
    real(id, &home.ok_or_else(|| Status::new(Code::Failure, NO_USER))?)
}

fn home_of(user: &[u8]) -> Option<Vec<u8>> {
    let user = User::from_name(std::str::from_utf8(user).ok()?).ok()??;
    Some(user.dir.into_os_string().into_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs,
        os::unix::{ffi::OsStrExt, fs::PermissionsExt},
        path::Path,
    };
    use tempfile::TempDir;

    /// A folder with a file, a full folder and a link to nothing.
    struct World(TempDir);

    impl World {
        fn new() -> Self {
            let world = Self(TempDir::new().unwrap());
            fs::write(world.path("file"), "old").unwrap();
            fs::create_dir_all(world.path("folder/inner")).unwrap();
            make_link(b"nowhere", &world.at("dangling")).unwrap();
            world
        }

        fn path(&self, name: &str) -> std::path::PathBuf {
            self.0.path().join(name)
        }

        fn at(&self, name: &str) -> Vec<u8> {
            self.path(name).as_os_str().as_bytes().to_vec()
        }

        fn text(&self, name: &str) -> String {
            fs::read_to_string(self.path(name)).unwrap()
        }
    }

    /// The one path of a reply.
    fn told(reply: Reply) -> String {
        let bytes = reply.unwrap().finish();
        let length = u32::from_be_bytes(bytes[13..17].try_into().unwrap()) as usize;
        String::from_utf8(bytes[17..17 + length].to_vec()).unwrap()
    }

    const NONE: Attributes = Attributes { size: None, owner: None, permissions: None, times: None };

    #[test]
    fn flags_are_those_of_open() {
        assert_eq!(open_flags(0), OFlags::RDONLY);
        assert_eq!(open_flags(READ), OFlags::RDONLY);
        assert_eq!(open_flags(WRITE | CREATE | TRUNCATE), OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC);
        assert_eq!(open_flags(READ | WRITE | APPEND | EXCLUSIVE), OFlags::RDWR | OFlags::APPEND | OFlags::EXCL);
    }

    #[test]
    fn an_exclusive_open_makes_its_file_or_fails() {
        let world = World::new();
        let make = |name| open(&world.at(name), WRITE | CREATE | EXCLUSIVE, &NONE).map(drop);
        for name in ["file", "folder", "dangling"] {
            assert_eq!(make(name), Err(Errno::EXIST.into()), "{name}");
        }
        make("new").unwrap();
        assert_eq!((world.text("new").as_str(), world.text("file").as_str()), ("", "old"));
    }

    #[test]
    fn appended_data_goes_to_the_end_whatever_the_offset() {
        let world = World::new();
        open(&world.at("file"), WRITE | APPEND, &NONE).unwrap().write(0, b" new").unwrap();
        open(&world.at("file"), WRITE, &NONE).unwrap().write(0, b"OLD").unwrap();
        assert_eq!(world.text("file"), "OLD new");
    }

    #[test]
    fn permissions_are_asked_for_and_the_umask_takes_its_share() {
        let world = World::new();
        let asked = Attributes { permissions: Some(0o100_640), ..NONE };
        open(&world.at("new"), WRITE | CREATE, &asked).unwrap();
        make_folder(&world.at("made"), &Attributes { permissions: Some(0o700), ..NONE }).unwrap();
        let mode = |name| fs::metadata(world.path(name)).unwrap().permissions().mode() & 0o7777;
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let umask = status.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap();
        let umask = u32::from_str_radix(umask.trim(), 8).unwrap();
        assert_eq!((mode("new"), mode("made")), (0o640 & !umask, 0o700 & !umask));
    }

    #[test]
    fn renaming_replaces_nothing_in_one_step_or_in_several() {
        for rename in [rename_new, rename_in_steps] {
            let world = World::new();
            for (from, to) in [("file", "folder"), ("folder", "file"), ("file", "dangling"), ("file", "file")] {
                assert_eq!(rename(&world.at(from), &world.at(to)), Err(Errno::EXIST.into()), "{from} {to}");
            }
            assert_eq!(rename(&world.at("nosuch"), &world.at("x")), Err(Errno::NOENT.into()));
            for (from, to) in [("file", "a"), ("folder", "b"), ("dangling", "c")] {
                rename(&world.at(from), &world.at(to)).unwrap();
                assert!(!world.path(from).exists() && world.path(to).symlink_metadata().is_ok());
            }
            assert_eq!(world.text("a"), "old");
        }
    }

    #[test]
    fn posix_renaming_replaces() {
        let world = World::new();
        fs::write(world.path("newer"), "new").unwrap();
        rename_over(&world.at("newer"), &world.at("file")).unwrap();
        assert_eq!((world.text("file").as_str(), world.path("newer").exists()), ("new", false));
    }

    #[test]
    fn links_say_what_they_were_told() {
        let world = World::new();
        assert_eq!(fs::read_link(world.path("dangling")).unwrap(), Path::new("nowhere"));
        assert_eq!(told(read_link(1, &world.at("dangling"))), "nowhere");
        assert_eq!(read_link(1, &world.at("file")).unwrap_err().code, Code::BadMessage);
    }

    #[test]
    fn only_folders_are_opened_as_folders_and_only_empty_ones_removed() {
        let world = World::new();
        assert_eq!(open_folder(&world.at("file")).unwrap_err().code, Code::NoSuchFile);
        assert!(open_folder(&world.at("folder")).is_ok());
        assert_eq!(remove_folder(&world.at("folder")), Err(Errno::NOTEMPTY));
        assert_eq!(remove(&world.at("folder")), Err(Errno::ISDIR));
        remove(&world.at("dangling")).unwrap();
        remove_folder(&world.at("folder/inner")).unwrap();
    }

    #[test]
    fn homes_and_tildes() {
        let here = env::current_dir().unwrap().display().to_string();
        assert_eq!(told(real(1, b"")), here);
        assert_eq!(told(expand(1, b"~")), here);
        assert_eq!(told(expand(1, b"~/new")), format!("{here}/new"));
        assert_eq!((told(expand(1, b"~root")), told(home(1, b"root"))), ("/root".into(), "/root".into()));
        assert_eq!(expand(1, b"~nosuch/x").unwrap_err(), Status::new(Code::NoSuchFile, NO_USER));
        assert_eq!(home(1, b"nosuch").unwrap_err(), Status::new(Code::Failure, NO_USER));
    }
}

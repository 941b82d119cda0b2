//! A line for people about a file, to the byte as OpenSSH's server writes it.

use super::limits;
use chrono::{DateTime, Local};
use nix::unistd::{Gid, Group, Uid, User};
use rustix::fs::{FileType, Stat};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Half a year: older files, and such from the future, show their year instead of their hour.
const RECENT: i64 = 365 * 24 * 60 * 60 / 2;

/// Writes lines.
#[derive(Debug)]
pub(super) struct Lister<'a> {
    owners: &'a Owners,
    now: i64,
}

/// Names of users and groups, asked of the name service once each.
#[derive(Debug, Default)]
pub(super) struct Owners {
    users: Mutex<HashMap<u32, Option<String>>>,
    groups: Mutex<HashMap<u32, Option<String>>>,
}

impl Owners {
    pub(super) fn user(&self, id: u32) -> Option<String> {
        remembered(&self.users, id, || User::from_uid(Uid::from_raw(id)).ok()?.map(|user| user.name))
    }

    pub(super) fn group(&self, id: u32) -> Option<String> {
        remembered(&self.groups, id, || Group::from_gid(Gid::from_raw(id)).ok()?.map(|group| group.name))
    }
}

fn remembered(names: &Mutex<HashMap<u32, Option<String>>>, id: u32, ask: impl FnOnce() -> Option<String>) -> Option<String> {
    if let Some(name) = names.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
        return name.clone();
    }
    let name = ask();
    let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
    if names.len() >= limits::OWNERS {
        names.clear();
    }
    names.insert(id, name.clone());
    name
}

impl<'a> Lister<'a> {
    /// Lines as of `now`, in seconds since 1970.
    pub(super) fn new(owners: &'a Owners, now: i64) -> Self {
        Self { owners, now }
    }

    /// The line of `name`.
    pub(super) fn line(&self, name: &[u8], stat: &Stat) -> Vec<u8> {
        let user = self.owners.user(stat.st_uid).unwrap_or_else(|| stat.st_uid.to_string());
        let group = self.owners.group(stat.st_gid).unwrap_or_else(|| stat.st_gid.to_string());
        let (mode, links, size, date) = (mode(stat.st_mode), stat.st_nlink, stat.st_size, self.date(stat.st_mtime));
        let mut line = format!("{mode}  {links:>3} {user:<8} {group:<8} {size:>8} {date} ").into_bytes();
        line.extend_from_slice(name);
        line
    }

    fn date(&self, changed: i64) -> String {
        let Some(date) = DateTime::from_timestamp(changed, 0) else { return String::new() };
        let recent = self.now - RECENT < changed && changed <= self.now;
        date.with_timezone(&Local).format(if recent { "%b %e %H:%M" } else { "%b %e  %Y" }).to_string()
    }
}

/// Ten characters, as `ls -l` has them.
fn mode(bits: u32) -> String {
    let kind = match FileType::from_raw_mode(bits) {
        FileType::RegularFile => '-',
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::Fifo => 'p',
        FileType::Socket => 's',
        FileType::CharacterDevice => 'c',
        FileType::BlockDevice => 'b',
        FileType::Unknown => '?',
    };
    let letter = |bit: u32, letter| if bits & bit != 0 { letter } else { '-' };
    let special = |bit: u32, runs: u32, both, alone| match (bits & bit != 0, bits & runs != 0) {
        (true, true) => both,
        (true, false) => alone,
        (false, true) => 'x',
        (false, false) => '-',
    };
    [
        kind,
        letter(0o400, 'r'),
        letter(0o200, 'w'),
        special(0o4000, 0o100, 's', 'S'),
        letter(0o040, 'r'),
        letter(0o020, 'w'),
        special(0o2000, 0o010, 's', 'S'),
        letter(0o004, 'r'),
        letter(0o002, 'w'),
        special(0o1000, 0o001, 't', 'T'),
    ]
    .into_iter()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_look_as_in_ls() {
        for (bits, shown) in [
            (0o100_644, "-rw-r--r--"),
            (0o104_755, "-rwsr-xr-x"),
            (0o104_655, "-rwSr-xr-x"),
            (0o041_777, "drwxrwxrwt"),
            (0o042_770, "drwxrws---"),
            (0o120_777, "lrwxrwxrwx"),
            (0o010_000, "p---------"),
            (0o140_001, "s--------x"),
            (0o021_666, "crw-rw-rwT"),
        ] {
            assert_eq!(mode(bits), shown, "{bits:o}");
        }
    }

    #[test]
    fn a_line_has_the_columns_of_openssh() {
        let dir = tempfile::TempDir::new().unwrap();
        let mut stat = rustix::fs::stat(dir.path()).unwrap();
        (stat.st_mode, stat.st_nlink, stat.st_uid, stat.st_gid) = (0o100_600, 1, 0, 77_777);
        (stat.st_size, stat.st_mtime) = (6, 1_000_000_000);
        let owners = Owners::default();
        let line = |now| String::from_utf8(Lister::new(&owners, now).line(b"a b", &stat)).unwrap();
        assert!(line(1_000_000_100).starts_with("-rw-------    1 root     77777           6 Sep  "));
        assert!(line(1_000_000_100).contains(":46 a b"));
        assert!(line(2_000_000_000).ends_with("  2001 a b") && line(0).ends_with("  2001 a b"));
    }

    #[test]
    fn names_are_those_of_the_system() {
        let owners = Owners::default();
        for _ in 0..2 {
            assert_eq!((owners.user(0).as_deref(), owners.group(0).as_deref()), (Some("root"), Some("root")));
            assert_eq!(owners.user(3_999_999_999), None);
        }
    }
}

//! A path from the root without links or dots, as OpenSSH's server finds it: only the last part may be missing.

use super::limits;
use rustix::{
    fs::{FileType, lstat, readlink},
    io::Errno,
};

/// Resolves `path`, which starts at `folder` unless at the root.
pub(super) fn resolve(folder: &[u8], path: &[u8]) -> Result<Vec<u8>, Errno> {
    let here = folder.strip_suffix(b"/").unwrap_or(folder);
    let start = if path.starts_with(b"/") { b"" } else { here };
    let mut walk = Walk { at: start.to_vec(), left: path.to_vec(), links: 0 };
    while !walk.left.is_empty() {
        walk.step()?;
    }
    Ok(if walk.at.is_empty() { b"/".to_vec() } else { walk.at })
}

/// A path half resolved.
struct Walk {
    /// Without links and dots; the root is written as nothing.
    at: Vec<u8>,
    left: Vec<u8>,
    links: usize,
}

impl Walk {
    fn step(&mut self) -> Result<(), Errno> {
        let slash = self.left.iter().position(|&byte| byte == b'/');
        let rest = slash.map(|slash| self.left.split_off(slash + 1));
        let mut name = std::mem::replace(&mut self.left, rest.clone().unwrap_or_default());
        name.truncate(slash.unwrap_or(name.len()));
        match &*name {
            b"" | b"." => Ok(()),
            b".." => {
                self.ascend();
                Ok(())
            }
            name => self.descend(name, rest.is_none()),
        }
    }

    fn descend(&mut self, name: &[u8], last: bool) -> Result<(), Errno> {
        self.at.push(b'/');
        self.at.extend_from_slice(name);
        fits(&self.at)?;
        match lstat(&*self.at) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => self.follow(last),
            Err(Errno::NOENT) if last => Ok(()),
            Err(errno) => Err(errno),
            Ok(_) => Ok(()),
        }
    }

    /// Goes on where the link leads.
    fn follow(&mut self, last: bool) -> Result<(), Errno> {
        self.links += 1;
        if self.links > limits::LINKS {
            return Err(Errno::LOOP);
        }
        let mut target = readlink(&*self.at, Vec::new())?.into_bytes();
        if target.starts_with(b"/") {
            self.at.clear();
        } else {
            self.ascend();
        }
        if !last {
            target.push(b'/');
            target.append(&mut self.left);
        }
        fits(&target)?;
        self.left = target;
        Ok(())
    }

    fn ascend(&mut self) {
        let end = self.at.iter().rposition(|&byte| byte == b'/');
        self.at.truncate(end.unwrap_or_default());
    }
}

fn fits(path: &[u8]) -> Result<(), Errno> {
    if path.len() < limits::PATH { Ok(()) } else { Err(Errno::NAMETOOLONG) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        ffi::OsString,
        fs,
        os::unix::{
            ffi::{OsStrExt, OsStringExt},
            fs::symlink,
        },
        path::PathBuf,
    };
    use tempfile::TempDir;

    /// A folder with `dir/file`, links to them, a link to nothing and a circle.
    fn world() -> TempDir {
        let world = TempDir::new().unwrap();
        let at = |name: &str| world.path().join(name);
        fs::create_dir(at("dir")).unwrap();
        fs::write(at("dir/file"), "").unwrap();
        symlink("dir/file", at("link")).unwrap();
        symlink("../dir/.", at("dir/self")).unwrap();
        symlink(at("dir"), at("absolute")).unwrap();
        symlink("nowhere", at("dangling")).unwrap();
        symlink("circle", at("circle")).unwrap();
        world
    }

    fn check(path: &str, wanted: Result<&str, Errno>) {
        let world = world();
        let folder = fs::canonicalize(world.path()).unwrap();
        let seen = resolve(folder.as_os_str().as_bytes(), path.as_bytes());
        let seen = seen.map(|seen| PathBuf::from(OsString::from_vec(seen)));
        assert_eq!(seen, wanted.map(|wanted| folder.join(wanted)), "{path}");
    }

    #[test]
    fn dots_and_slashes_go() {
        check("dir/./../dir//file", Ok("dir/file"));
        check("dir/", Ok("dir"));
        let root = |path: &str| String::from_utf8(resolve(b"/", path.as_bytes()).unwrap()).unwrap();
        assert_eq!(["/", "//", "/..", "/../tmp/..", "."].map(root), ["/"; 5]);
        assert_eq!(root("etc"), "/etc");
    }

    #[test]
    fn links_are_followed() {
        check("link", Ok("dir/file"));
        check("dir/self/self/file", Ok("dir/file"));
        check("absolute/file", Ok("dir/file"));
        check("absolute/..", Ok(""));
        check("circle", Err(Errno::LOOP));
    }

    #[test]
    fn only_the_last_part_may_be_missing() {
        check("new", Ok("new"));
        check("dangling", Ok("nowhere"));
        check("dir/new", Ok("dir/new"));
        check("new/file", Err(Errno::NOENT));
        check("new/", Err(Errno::NOENT));
        check("dir/file/x", Err(Errno::NOTDIR));
    }
}

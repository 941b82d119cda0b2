//! Where lines end up: a file that others may move away at any time, or standard output.

use std::{
    convert::Infallible,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    str::FromStr,
};
use tracing::{info, warn};

/// A place for the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file, made with mode 0600 where it is missing.
    File(PathBuf),
    /// Standard output.
    Out,
}

impl FromStr for Place {
    type Err = Infallible;

    /// `-` is standard output.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "-" { Self::Out } else { Self::File(text.into()) })
    }
}

/// An open place.
#[derive(Debug)]
pub(super) struct Sink {
    place: Place,
    /// Absent for standard output.
    file: Option<File>,
    /// The last line was cut off by a fault, of this process or of one before.
    torn: bool,
    failing: bool,
}

impl Sink {
    pub(super) fn open(place: Place) -> io::Result<Self> {
        let file = match &place {
            Place::File(path) => Some(append(path)?),
            Place::Out => None,
        };
        let torn = file.is_some() && is_torn(&place);
        Ok(Self { place, file, torn, failing: false })
    }

    /// Writes whole lines, to a new file where the old one was moved away. Logs trouble when it starts and ends.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let written = self.look().and_then(|()| self.put(lines));
        match &written {
            Err(fault) if !self.failing => warn!(%fault, "the audit trail cannot be written"),
            Ok(()) if self.failing => info!("the audit trail is written again"),
            _ => {}
        }
        self.failing = written.is_err();
        written
    }

    fn put(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.torn {
            self.out().write_all(b"\n")?;
        }
        self.torn = !lines.is_empty();
        self.out().write_all(lines)?;
        self.out().flush()?;
        self.torn = false;
        Ok(())
    }

    fn out(&mut self) -> Box<dyn Write + '_> {
        match &mut self.file {
            Some(file) => Box::new(file),
            None => Box::new(io::stdout()),
        }
    }

    fn look(&mut self) -> io::Result<()> {
        if let (Place::File(path), Some(file)) = (&self.place, &self.file)
            && !is_at(file, path)?
        {
            self.file = Some(append(path)?);
            self.torn = is_torn(&self.place);
        }
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Whether what is at `place` ends in the middle of a line. Only files are looked at, and one that cannot be read counts as whole.
fn is_torn(place: &Place) -> bool {
    let Place::File(path) = place else { return false };
    fs::metadata(path).is_ok_and(|there| there.is_file()) && last_byte(path).is_ok_and(|last| last != b'\n')
}

fn last_byte(path: &Path) -> io::Result<u8> {
    let file = File::open(path)?;
    let Some(last) = file.metadata()?.len().checked_sub(1) else { return Ok(b'\n') };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    Ok(byte[0])
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    Ok(fs::metadata(path).is_ok_and(|there| (there.dev(), there.ino()) == (held.dev(), held.ino())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let [path, old] = ["audit", "audit.1"].map(|name| folder.path().join(name));
        let mut sink = Sink::open(Place::File(path.clone())).unwrap();
        sink.write(b"one\n").unwrap();
        fs::rename(&path, &old).unwrap();
        sink.write(b"two\n").unwrap();
        assert_eq!((fs::read(&old).unwrap(), fs::read(&path).unwrap()), (b"one\n".to_vec(), b"two\n".to_vec()));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_full_disk_is_survived_and_tears_no_later_line() {
        let mut sink = Sink::open(Place::File("/dev/full".into())).unwrap();
        assert!(sink.write(b"one\n").is_err() && sink.torn);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        sink.place = Place::File(path.clone());
        sink.file = Some(append(&path).unwrap());
        sink.write(b"two\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"\ntwo\n");
    }

    #[test]
    fn what_a_process_before_left_torn_ends_no_later_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        for (left, then) in [("{\"half", "{\"half\nnew\n"), ("whole\n", "whole\nnew\n"), ("", "new\n")] {
            fs::write(&path, left).unwrap();
            Sink::open(Place::File(path.clone())).unwrap().write(b"new\n").unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), then);
        }
    }

    #[test]
    fn what_is_no_file_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let others = [fifo, "/dev/null".into(), folder.path().join("none")].map(Place::File);
        assert!(!is_torn(&Place::Out) && !others.iter().any(is_torn));
    }

    #[test]
    fn a_dash_is_standard_output() {
        assert_eq!("-".parse(), Ok(Place::Out));
        assert_eq!("./-".parse(), Ok(Place::File("./-".into())));
    }
}

//! A terminal of a chosen size in front of a program.

use anyhow::Result;
use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use std::{fs::File, os::fd::OwnedFd, os::unix::ffi::OsStrExt};

/// Both ends of a terminal.
pub struct Terminal {
    /// The person's end.
    pub near: OwnedFd,
    /// The program's end.
    pub far: File,
}

impl Terminal {
    /// With `rows` and `columns`.
    pub fn new(rows: u16, columns: u16) -> Result<Self> {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&near)?;
        unlockpt(&near)?;
        let name = ptsname(&near, Vec::new())?;
        let far = File::options().read(true).write(true).open(std::ffi::OsStr::from_bytes(name.as_bytes()))?;
        tcsetwinsize(&far, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })?;
        Ok(Self { near, far })
    }
}

//! A pseudo-terminal: its master end as an async stream, its size and its modes.

use super::{account::Account, modes};
use russh::Pty;
use rustix::{
    fs::{Gid, Mode, OFlags, Uid, fchmod, fchown, fcntl_getfl, fcntl_setfl},
    io::Errno,
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, ptsname, unlockpt},
    termios::{OptionalActions, OutputModes, Winsize, tcgetattr, tcsetattr, tcsetwinsize},
};
use std::{io, os::fd::OwnedFd};
use tokio::net::unix::pipe::{Receiver, Sender};

/// The master end; when it is dropped, the kernel hangs the terminal up.
#[derive(Debug)]
pub(super) struct Terminal {
    // Tokio's pipe types read and write any descriptor that can be polled, and need no unsafe registration.
    screen: Receiver,
    keyboard: Sender,
    path: String,
}

impl Terminal {
    /// A terminal of that size and those modes, `account`'s, and the end that the program gets.
    pub(super) fn open(account: &Account, size: Winsize, wanted: &[(Pty, u32)]) -> io::Result<(Self, OwnedFd)> {
        let (master, slave) = open_pair(size)?;
        hand_over(&slave, account)?;
        let mut termios = tcgetattr(&slave)?;
        modes::apply(&mut termios, wanted);
        tcsetattr(&slave, OptionalActions::Now, &termios)?;
        let path = ptsname(&master, Vec::new())?.to_string_lossy().into_owned();
        fcntl_setfl(&master, fcntl_getfl(&master)? | OFlags::NONBLOCK)?;
        let keyboard = Sender::from_owned_fd_unchecked(master.try_clone()?)?;
        Ok((Self { screen: Receiver::from_owned_fd_unchecked(master)?, keyboard, path }, slave))
    }

    /// The name of the program's end, such as `/dev/pts/3`.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// `text` as a program's output would be shown: with the line ends that the modes ask for.
    pub(super) fn shown(&self, text: Vec<u8>) -> Vec<u8> {
        let modes = tcgetattr(&self.screen).map_or(OutputModes::empty(), |termios| termios.output_modes);
        if !modes.contains(OutputModes::OPOST | OutputModes::ONLCR) {
            return text;
        }
        let ends = |&byte: &u8| if byte == b'\n' { &b"\r\n"[..] } else { std::slice::from_ref(&byte) }.to_vec();
        text.iter().flat_map(ends).collect()
    }

    /// Sets the size; the kernel tells the foreground program.
    pub(super) fn resize(&self, size: Winsize) -> io::Result<()> {
        Ok(tcsetwinsize(&self.screen, size)?)
    }

    /// Reads what the program wrote; 0 once no program has the terminal open.
    pub(super) async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            self.screen.readable().await?;
            match self.screen.try_read(buf) {
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => {}
                other => return closed_is_end(other),
            }
        }
    }

    /// The same for what is there already; 0 too when there is nothing.
    pub(super) fn read_now(&self, buf: &mut [u8]) -> io::Result<usize> {
        match rustix::io::read(&self.screen, buf) {
            Err(Errno::AGAIN) => Ok(0),
            other => closed_is_end(other.map_err(Into::into)),
        }
    }

    /// Types some of `keys`; how many.
    pub(super) async fn write(&self, keys: &[u8]) -> io::Result<usize> {
        loop {
            self.keyboard.writable().await?;
            match self.keyboard.try_write(keys) {
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }
}

/// Master and slave, neither of them inherited by programs nor anybody's controlling terminal yet.
pub(super) fn open_pair(size: Winsize) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    tcsetwinsize(&master, size)?;
    let slave = ioctl_tiocgptpeer(&master, flags)?;
    Ok((master, slave))
}

/// Makes a terminal the account's own, as sshd does: `write` and `wall`, which run as the group of terminals, may write
/// to it, and nobody else. The agent's own account has it already; where it may not give it that group, it stays private.
fn hand_over(slave: &OwnedFd, account: &Account) -> io::Result<()> {
    let (gid, mode) = account.tty.map_or((account.gid, 0o600), |tty| (tty, 0o620));
    let given = fchown(slave, Some(Uid::from_raw(account.uid)), Some(Gid::from_raw(gid)))
        .and_then(|()| fchmod(slave, Mode::from_raw_mode(mode)));
    match given {
        Err(Errno::PERM) if account.assumed.is_none() => Ok(()),
        given => Ok(given?),
    }
}

/// Linux reports a terminal that nobody has open any more as EIO.
fn closed_is_end(read: io::Result<usize>) -> io::Result<usize> {
    match read {
        Err(fault) if Errno::from_io_error(&fault) == Some(Errno::IO) => Ok(0),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::account::Assumed;
    use rustix::termios::tcgetwinsize;

    const SIZE: Winsize = Winsize { ws_row: 11, ws_col: 22, ws_xpixel: 33, ws_ypixel: 44 };

    #[tokio::test]
    async fn size_in_characters_and_pixels_reaches_the_program() {
        let (terminal, slave) = Terminal::open(&Account::current(), SIZE, &[]).unwrap();
        assert_eq!(tcgetwinsize(&slave).unwrap(), SIZE);
        let wider = Winsize { ws_col: 99, ..SIZE };
        terminal.resize(wider).unwrap();
        assert_eq!(tcgetwinsize(&slave).unwrap(), wider);
        assert!(terminal.path().starts_with("/dev/pts/"));
    }

    #[tokio::test]
    async fn output_left_by_a_program_that_closed_is_read_before_the_end() {
        let (terminal, slave) = Terminal::open(&Account::current(), SIZE, &[]).unwrap();
        rustix::io::write(&slave, b"bye\n").unwrap();
        drop(slave);
        let mut buf = [0; 16];
        assert_eq!(terminal.read(&mut buf).await.unwrap(), 5);
        assert_eq!(&buf[..5], b"bye\r\n");
        assert_eq!(terminal.read(&mut buf).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn notices_get_the_line_ends_of_the_terminal() {
        let (cooked, _slave) = Terminal::open(&Account::current(), SIZE, &[]).unwrap();
        assert_eq!(cooked.shown(b"a\nb\n".to_vec()), b"a\r\nb\r\n");
        let (raw, _slave) = Terminal::open(&Account::current(), SIZE, &[(Pty::ONLCR, 0)]).unwrap();
        assert_eq!(raw.shown(b"a\nb\n".to_vec()), b"a\nb\n");
    }

    #[tokio::test]
    async fn another_accounts_terminal_is_its_own() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        for (tty, gid, mode) in [(Some(5), 5, 0o20620), (None, 4322, 0o20600)] {
            let assumed = Some(Assumed { groups: vec![] });
            let other = Account { uid: 4321, gid: 4322, tty, assumed, ..Account::current() };
            let (_terminal, slave) = Terminal::open(&other, SIZE, &[]).unwrap();
            let stat = rustix::fs::fstat(&slave).unwrap();
            assert_eq!((stat.st_uid, stat.st_gid, stat.st_mode), (4321, gid, mode));
        }
    }

    #[tokio::test]
    async fn keys_reach_the_program() {
        let (terminal, slave) = Terminal::open(&Account::current(), SIZE, &[(Pty::ECHO, 0)]).unwrap();
        assert_eq!(terminal.write(b"ls\r").await.unwrap(), 3);
        let mut buf = [0; 16];
        assert_eq!(rustix::io::read(&slave, &mut buf).unwrap(), 3);
        assert_eq!(&buf[..3], b"ls\n");
        assert_eq!(terminal.read_now(&mut buf).unwrap(), 0, "no echo");
    }
}

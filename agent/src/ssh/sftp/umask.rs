//! What the account's shell lets a new file be: sshd starts its `sftp-server` through the shell, so that `umask 077` in its start-up
//! files is for uploads too. Ours does without the shell, whose start-up files may write into the protocol, and asks it.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::Mode,
    io::retry_on_intr,
    process::{Pid, PidfdFlags, pidfd_open, umask},
};
use std::{
    ffi::OsStr,
    io::{self, Read},
    os::fd::OwnedFd,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

/// How long a shell may take to start; some look for half a second after their tools.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of what its start-up files print, the end is kept: the answer.
const END: usize = 256;

/// Takes on what `shell` says. One that says nothing changes nothing.
pub(super) fn ask(shell: &OsStr) {
    if let Some(mode) = answer(shell, PATIENCE) {
        umask(mode);
    }
}

fn answer(shell: &OsStr, patience: Duration) -> Option<Mode> {
    let mut asked = Command::new(shell);
    asked.args(["-c", "umask"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = asked.spawn().ok()?;
    let said = said(&mut child, Instant::now() + patience);
    // Whatever it still does is for nobody.
    let _ended = child.kill();
    let _status = child.wait();
    parse(&said.ok()?)
}

/// The end of what `child` prints until it ends, or `until`.
fn said(child: &mut Child, until: Instant) -> io::Result<Vec<u8>> {
    let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let mut output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut end = Vec::new();
    while is_readable(&output, &process, until)? {
        let mut piece = [0; END];
        match output.read(&mut piece)? {
            0 => break,
            read => end.extend_from_slice(&piece[..read]),
        }
        end.drain(..end.len().saturating_sub(END));
    }
    Ok(end)
}

/// Whether there is more; not where a child of the shell's holds `output` open after it.
fn is_readable(output: &ChildStdout, process: &OwnedFd, until: Instant) -> io::Result<bool> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Ok(false);
    }
    let left = Timespec::try_from(left).map_err(io::Error::other)?;
    let mut both = [PollFd::new(output, PollFlags::IN), PollFd::new(process, PollFlags::IN)];
    retry_on_intr(|| poll(&mut both, Some(&left)))?;
    Ok(!both[0].revents().is_empty())
}

/// Octal, as every shell prints it, in the last line.
fn parse(said: &[u8]) -> Option<Mode> {
    // What stands before it may begin in the middle of a character.
    let line = said.trim_ascii_end().rsplit(|byte| *byte == b'\n').next()?;
    u32::from_str_radix(str::from_utf8(line).ok()?.trim(), 8).ok().filter(|mode| *mode <= 0o777).map(Mode::from_raw_mode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

    /// A shell whose start-up files are `script`.
    fn shell(folder: &tempfile::TempDir, script: &str) -> PathBuf {
        let file = folder.path().join("shell");
        fs::write(&file, format!("#!/bin/sh\n{script}\nexec /bin/sh \"$@\"\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        file
    }

    fn of(script: &str) -> Option<u32> {
        let folder = tempfile::tempdir().unwrap();
        answer(shell(&folder, script).as_os_str(), Duration::from_secs(2)).map(|mode| mode.as_raw_mode())
    }

    #[test]
    fn what_start_up_files_set_is_found_behind_what_they_print() {
        assert_eq!(of("umask 077; echo welcome; echo 0123; seq 1000"), Some(0o077));
        assert_eq!(of("umask 002; sleep 30 &"), Some(0o002));
    }

    #[test]
    fn a_shell_that_does_not_answer_changes_nothing() {
        for silent in ["exit 1", "exec sleep 30", "echo hello; exit", "read line; exit", "exec yes"] {
            assert_eq!(of(silent), None, "{silent}");
        }
        assert_eq!(answer(OsStr::new("/nonexistent"), PATIENCE), None);
    }

    #[test]
    fn only_a_umask_is_one() {
        assert_eq!(parse(b"0022\n").map(|mode| mode.as_raw_mode()), Some(0o022));
        assert_eq!(parse(b"\xa9 caf\xc3\xa9\n0027\n").map(|mode| mode.as_raw_mode()), Some(0o027));
        assert_eq!(parse(b"77").map(|mode| mode.as_raw_mode()), Some(0o077));
        for other in ["", "u=rwx,g=rx,o=", "01777\n", "9\n", "-1"] {
            assert_eq!(parse(other.as_bytes()), None, "{other}");
        }
    }
}

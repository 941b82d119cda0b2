//! How a session's program is called: which file, by which name, with which arguments.

use super::{account::Account, executable::Executable, session::Program};
use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// All that `exec` is told but the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) file: PathBuf,
    /// What it is told to be called.
    pub(super) name: OsString,
    pub(super) arguments: Vec<OsString>,
}

impl Call {
    /// `-bash` for a login shell, `bash -c <command>` for a command. No shell for SFTP, whose start-up files might write into the
    /// protocol; but where the shell is there to keep its account from running programs, it has its say, as under sshd, which
    /// starts `sftp-server` through it.
    pub(super) fn of(account: &Account, program: &Program) -> Self {
        let shell = &account.shell;
        let name = shell.file_name().unwrap_or(shell.as_os_str());
        let asked = |line: &OsStr| Self { file: shell.clone(), name: name.into(), arguments: vec!["-c".into(), line.into()] };
        match program {
            Program::Shell => Self { file: shell.clone(), name: dashed(name), arguments: Vec::new() },
            Program::Command(line) => asked(OsStr::from_bytes(line)),
            Program::Sftp(_) if keeps_out(shell) => asked([Executable::NAME, Executable::SFTP].join(" ").as_ref()),
            Program::Sftp(agent) => {
                Self { file: agent.path(), name: Executable::NAME.into(), arguments: vec![Executable::SFTP.into()] }
            }
        }
    }
}

/// As login shells know that they are such.
fn dashed(name: &OsStr) -> OsString {
    let mut dashed = OsString::from("-");
    dashed.push(name);
    dashed
}

/// Whether a shell runs none of the programs that it is asked for, or only its own.
fn keeps_out(shell: &Path) -> bool {
    ["nologin", "false", "git-shell"].iter().any(|name| shell.ends_with(name))
}

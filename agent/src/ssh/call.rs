//! How a session's program is called: which file, by which name, with which arguments.

use super::{account::Account, executable::Executable, limits::SHELLS, session::Program};
use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read},
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
    /// What the program finds open, by the name that `arguments` have for it.
    pub(super) kept: Option<Executable>,
}

impl Call {
    /// `-bash` for a login shell, `bash -c <command>` for a command. No shell for SFTP, whose start-up files might write into the
    /// protocol; but where the shell may be there to keep its account from running programs, it has its say, as under sshd, which
    /// starts `sftp-server` through it.
    pub(super) fn of(account: &Account, program: &Program) -> Self {
        let shell = &account.shell;
        let name = shell.file_name().unwrap_or(shell.as_os_str());
        let to = |file: PathBuf, name: OsString, arguments| Self { file, name, arguments, kept: None };
        let asked = |line: &OsStr| to(shell.clone(), name.into(), vec!["-c".into(), line.into()]);
        match program {
            Program::Shell => to(shell.clone(), dashed(name), Vec::new()),
            Program::Command(line) => asked(OsStr::from_bytes(line)),
            Program::Sftp(agent) if may_keep_out(shell) => {
                let line = [agent.path().as_os_str(), Executable::SFTP.as_ref()].join(OsStr::new(" "));
                Self { kept: Some(agent.clone()), ..asked(&line) }
            }
            Program::Sftp(agent) => to(agent.path(), Executable::NAME.into(), vec![Executable::SFTP.into()]),
        }
    }
}

/// As login shells know that they are such.
fn dashed(name: &OsStr) -> OsString {
    let mut dashed = OsString::from("-");
    dashed.push(name);
    dashed
}

/// Whether a shell may run none of the programs that it is asked for, or only its own: one that is no login shell of the machine's, or
/// is known for it, since some distributions list those too.
fn may_keep_out(shell: &Path) -> bool {
    ["nologin", "false", "git-shell", "rbash"].iter().any(|name| shell.ends_with(name)) || !listed(&login_shells(), shell)
}

/// The machine's login shells, or what getusershell(3) takes for them where nobody says.
fn login_shells() -> Vec<u8> {
    let read = |file: File| {
        let mut text = Vec::new();
        file.take(SHELLS).read_to_end(&mut text).map(|_| text)
    };
    File::open("/etc/shells").and_then(read).unwrap_or_else(|_: io::Error| b"/bin/sh\n/bin/csh\n".to_vec())
}

/// Whether `shell` stands in a text in the form of `/etc/shells`.
fn listed(text: &[u8], shell: &Path) -> bool {
    text.split(|byte| *byte == b'\n').any(|line| line.trim_ascii() == shell.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_listed_by_its_whole_path() {
        let text = b"# /etc/shells: valid login shells\n/bin/sh\n /usr/bin/fish \n#/bin/zsh\n";
        for (shell, is_listed) in
            [("/bin/sh", true), ("/usr/bin/fish", true), ("/bin/zsh", false), ("/sh", false), ("/bin/sh2", false)]
        {
            assert_eq!(listed(text, Path::new(shell)), is_listed, "{shell}");
        }
    }
}

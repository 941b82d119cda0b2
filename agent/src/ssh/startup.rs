//! What runs before a session's program: the user's `~/.ssh/rc`, or else the machine's `/etc/ssh/sshrc` (sshd(8), "SSHRC").
//!
//! Where there is one, the agent starts itself anew ([`super::Executable`]): that process has the session's account, environment
//! and terminal, runs the script, and becomes the program. So a script that takes its time holds up nobody else.

use super::{account::Account, call::Call, executable::Executable, session::Program, spawn::reason};
use std::{
    ffi::{OsStr, OsString},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const OF_USER: &str = ".ssh/rc";
const OF_MACHINE: &str = "etc/ssh/sshrc";
const SHELL: &str = "/bin/sh";

/// Where scripts may be.
#[derive(Clone, Debug)]
pub(super) struct Startup {
    of_machine: PathBuf,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Script {
    /// Which shell is asked for it.
    shell: PathBuf,
    /// What it is asked.
    line: OsString,
}

impl Startup {
    /// Those of the machine whose files are below `root`.
    pub(super) fn below(root: &Path) -> Self {
        Self { of_machine: root.join(OF_MACHINE) }
    }

    /// The one that comes before `program`; as under sshd the user's own is not for SFTP, and does without the machine's.
    pub(super) fn script(&self, account: &Account, program: &Program) -> Option<Script> {
        let of_user = account.home.join(OF_USER);
        if !matches!(program, Program::Sftp(_)) && of_user.exists() {
            return Some(Script::new(&account.shell, &of_user));
        }
        self.of_machine.exists().then(|| Script::new(Path::new(SHELL), &self.of_machine))
    }
}

impl Script {
    fn new(shell: &Path, script: &Path) -> Self {
        let line = [OsStr::new(SHELL), script.as_os_str()].join(OsStr::new(" "));
        Self { shell: shell.to_owned(), line }
    }

    /// `call`, after this.
    pub(super) fn before(self, call: Call, agent: &Executable) -> Call {
        // By the other name it is open in this process only.
        let file = if call.file == agent.path() { Executable::SELF.into() } else { call.file };
        let words = [Executable::START_UP.into(), self.shell.into(), self.line, file.into(), call.name];
        let arguments = words.into_iter().chain(call.arguments).collect();
        Call { file: agent.path(), name: Executable::NAME.into(), arguments, kept: call.kept }
    }
}

/// Runs a script, however it ends, and becomes the program: `words` are those of [`Script::before`]. It comes back only to say why it
/// could not.
pub fn main(words: Vec<OsString>) -> String {
    let complaint = |file: &OsStr, fault| format!("{}: {}", file.display(), reason(&fault));
    let mut words = words.into_iter();
    let mut word = || words.next().unwrap_or_default();
    let (shell, line, file, name) = (word(), word(), word(), word());
    // Nothing is typed into it: what the client sends is the program's.
    if let Err(fault) = Command::new(&shell).arg("-c").arg(line).stdin(Stdio::piped()).status() {
        eprintln!("{}", complaint(&shell, fault));
    }
    complaint(&file, Command::new(&file).arg0(name).args(words).exec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn machine() -> (tempfile::TempDir, Startup, Account) {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().join("home");
        fs::create_dir_all(home.join(".ssh")).unwrap();
        fs::create_dir_all(root.path().join("etc/ssh")).unwrap();
        let startup = Startup::below(root.path());
        (root, startup, Account { home, shell: "/bin/zsh".into(), ..Account::current() })
    }

    #[test]
    fn a_users_script_does_without_the_machines_and_sftp_without_the_users() {
        let (root, startup, account) = machine();
        let sftp = Program::Sftp(Executable::running().unwrap());
        let both = || [&Program::Shell, &sftp].map(|program| startup.script(&account, program).map(|script| script.shell));
        assert_eq!(both(), [None, None]);
        fs::write(root.path().join(OF_MACHINE), "").unwrap();
        assert_eq!(both(), [Some(SHELL.into()), Some(SHELL.into())]);
        fs::write(account.home.join(OF_USER), "").unwrap();
        assert_eq!(both(), [Some("/bin/zsh".into()), Some(SHELL.into())]);
    }

    #[test]
    fn the_program_is_called_as_it_would_have_been() {
        let agent = Executable::running().unwrap();
        let script = || Script::new(Path::new("/bin/zsh"), Path::new("/home/dev/.ssh/rc"));
        let call = Call { file: "/bin/bash".into(), name: "-bash".into(), arguments: vec![], kept: None };
        let after = script().before(call, &agent);
        assert_eq!((after.file, after.name), (agent.path(), Executable::NAME.into()));
        assert_eq!(after.arguments, ["start-up", "/bin/zsh", "/bin/sh /home/dev/.ssh/rc", "/bin/bash", "-bash"]);
        let (name, arguments) = ("drawbridge-agent".into(), vec!["sftp-server".into()]);
        let sftp = Call { file: agent.path(), name, arguments, kept: None };
        let after = script().before(sftp, &agent).arguments;
        assert_eq!(after[3..], ["/proc/self/exe", "drawbridge-agent", "sftp-server"]);
    }
}

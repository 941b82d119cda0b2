//! The account that sessions run as: the agent's own.

use std::{path::PathBuf, process::Command};

/// The login name that stands for the agent's own account, whatever it is called.
const ALIAS: &str = "user";
/// Where a session without a shell in the password file begins.
const FALLBACK_SHELL: &str = "/bin/sh";

/// One line of the password file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Home folder; it may be missing.
    pub home: PathBuf,
    /// Login shell.
    pub shell: PathBuf,
}

impl Account {
    /// The account this process runs as: from `/etc/passwd`, from the name service, or, for a bare user id as
    /// containers have, from this process's own environment.
    pub fn current() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let file = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        Self::in_passwd(&file, uid).or_else(|| Self::in_passwd(&from_name_service(uid), uid)).unwrap_or_else(Self::nameless)
    }

    /// The first entry of `uid` in a text in the form of `/etc/passwd`.
    pub fn in_passwd(text: &str, uid: u32) -> Option<Self> {
        text.lines().filter_map(Self::from_line).find(|account| account.uid == uid)
    }

    /// Whether `login` names this account: its own name, or `user`.
    pub fn answers_to(&self, login: &str) -> bool {
        login == self.name || login == ALIAS
    }

    fn from_line(line: &str) -> Option<Self> {
        let [name, _, uid, gid, _, home, shell] = line.split(':').collect::<Vec<_>>().try_into().ok()?;
        let shell = if shell.is_empty() { FALLBACK_SHELL } else { shell };
        Some(Self {
            name: name.to_owned(),
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            home: home.into(),
            shell: shell.into(),
        })
    }

    fn nameless() -> Self {
        let var = |name, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
        Self {
            name: var("USER", ALIAS),
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            home: var("HOME", "/").into(),
            shell: var("SHELL", FALLBACK_SHELL).into(),
        }
    }
}

/// What the name service (LDAP and the like) knows of `uid`; nothing where it cannot be asked.
fn from_name_service(uid: u32) -> String {
    let answer = Command::new("getent").arg("passwd").arg(uid.to_string()).output();
    answer.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nbroken\ndev:x:1000:1001:Dev,,,:/home/dev:/usr/bin/fish\n\
                          bare:x:1002:1002::/:\ntwin:x:1000:1000::/twin:/bin/sh\n";

    #[test]
    fn an_account_is_the_first_line_of_its_number() {
        let dev = Account::in_passwd(PASSWD, 1000).unwrap();
        assert_eq!((dev.name.as_str(), dev.uid, dev.gid), ("dev", 1000, 1001));
        assert_eq!((dev.home, dev.shell), ("/home/dev".into(), "/usr/bin/fish".into()));
        assert_eq!(Account::in_passwd(PASSWD, 7), None);
    }

    #[test]
    fn no_shell_means_sh() {
        assert_eq!(Account::in_passwd(PASSWD, 1002).unwrap().shell, PathBuf::from("/bin/sh"));
    }

    #[test]
    fn it_answers_to_its_name_and_to_user() {
        let dev = Account::in_passwd(PASSWD, 1000).unwrap();
        assert!(dev.answers_to("dev") && dev.answers_to("user"));
        assert!(!dev.answers_to("root") && !dev.answers_to("Dev") && !dev.answers_to(""));
    }

    #[test]
    fn this_process_has_one() {
        assert_eq!(Account::current().uid, rustix::process::geteuid().as_raw());
    }
}

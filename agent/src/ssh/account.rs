//! The account that a session runs as.

use std::{path::PathBuf, process::Command};

/// The agent's own account where it has no name.
const NAMELESS: &str = "user";
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
    /// The group of terminals, if the machine has one.
    pub tty: Option<u32>,
    /// What a child has to take on to become this account; `None` for the agent's own, which it already is.
    pub assumed: Option<Assumed>,
}

/// What else belongs to an account that is not the agent's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assumed {
    /// All its groups, as `initgroups` finds them, the primary one included.
    pub groups: Vec<u32>,
}

impl Account {
    /// The account this process runs as: from `/etc/passwd`, from the name service, or, for a bare user id as
    /// containers have, from this process's own environment.
    pub fn current() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let file = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let known = Self::in_passwd(&file, uid).or_else(|| Self::in_passwd(&from_name_service(uid), uid));
        let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
        Self { tty: terminals(&groups), ..known.unwrap_or_else(Self::nameless) }
    }

    /// The first entry of `uid` in a text in the form of `/etc/passwd`.
    pub fn in_passwd(text: &str, uid: u32) -> Option<Self> {
        text.lines().filter_map(Self::from_line).find(|account| account.uid == uid)
    }

    /// The first entry of `name` in such a text.
    pub(super) fn named_in_passwd(text: &str, name: &str) -> Option<Self> {
        text.lines().filter_map(Self::from_line).find(|account| account.name == name)
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
            tty: None,
            assumed: None,
        })
    }

    fn nameless() -> Self {
        let var = |name, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
        Self {
            name: var("USER", NAMELESS),
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            home: var("HOME", "/").into(),
            shell: var("SHELL", FALLBACK_SHELL).into(),
            tty: None,
            assumed: None,
        }
    }
}

/// The group of terminals in a text in the form of `/etc/group`.
pub(super) fn terminals(text: &str) -> Option<u32> {
    entries(text).find_map(|(group, gid, _)| (group == "tty").then_some(gid))
}

/// Name, number and members of each group in such a text.
pub(super) fn entries(text: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, gid) = (fields.next()?, fields.nth(1)?.parse().ok()?);
        Some((name, gid, fields.next()?))
    })
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
    fn a_name_is_matched_whole() {
        assert_eq!(Account::named_in_passwd(PASSWD, "twin").unwrap().home, PathBuf::from("/twin"));
        assert_eq!(Account::named_in_passwd(PASSWD, "de"), None);
    }

    #[test]
    fn this_process_has_one() {
        assert_eq!(Account::current().uid, rustix::process::geteuid().as_raw());
    }
}

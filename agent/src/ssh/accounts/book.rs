//! The machine's accounts: its files, and beyond them its name service.

use super::super::{
    account::{Account, Assumed, entries, terminals},
    limits,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::{process::Command, time::timeout};

/// Where accounts are looked up.
#[derive(Clone, Debug)]
pub struct Book {
    etc: PathBuf,
    /// Whether LDAP and the like are asked for what the files do not have.
    beyond: bool,
}

/// One line of the shadow file, as far as it decides here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shadow {
    password: String,
    /// The day, counted from 1970, after which the account is dead.
    expires: Option<u64>,
}

impl Book {
    /// `/etc` and the name service.
    pub fn system() -> Self {
        Self { etc: "/etc".into(), beyond: true }
    }

    /// `passwd`, `group` and `shadow` of the folder `etc`, and nothing else.
    pub fn of_files(etc: &Path) -> Self {
        Self { etc: etc.to_owned(), beyond: false }
    }

    /// Who `name` is, with all its groups.
    pub(super) async fn account(&self, name: &str) -> Option<Account> {
        let in_file = Account::named_in_passwd(&self.text("passwd"), name);
        let found = match in_file {
            Some(account) => account,
            None => Account::named_in_passwd(&self.ask("passwd", name).await, name)?,
        };
        let text = self.text("group");
        let mut groups = vec![found.gid];
        groups.extend(groups_of(&text, name));
        // `name gid gid ...`
        groups.extend(self.ask("initgroups", name).await.split_whitespace().skip(1).filter_map(|gid| gid.parse::<u32>().ok()));
        groups.sort_unstable();
        groups.dedup();
        Some(Account { tty: terminals(&text), assumed: Some(Assumed { groups }), ..found })
    }

    /// What the shadow file says of `name`; nothing where it cannot be read.
    pub(super) fn shadow(&self, name: &str) -> Option<Shadow> {
        self.text("shadow").lines().find_map(|line| Shadow::from_line(line, name))
    }

    fn text(&self, file: &str) -> String {
        fs::read(self.etc.join(file)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The C library's own tool asks every service that the machine has; a static binary could not.
    async fn ask(&self, database: &str, name: &str) -> String {
        if !self.beyond || name.starts_with('-') || name.contains(['\0', ':', '/']) {
            return String::new();
        }
        let mut command = Command::new("getent");
        command.args([database, name]).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let answer = timeout(limits::NAME_SERVICE, command.output()).await;
        answer.ok().and_then(Result::ok).map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    }
}

impl Shadow {
    fn from_line(line: &str, name: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let password = fields.by_ref().take(2).collect::<Vec<_>>();
        let [found, password] = password[..] else { return None };
        let expires = fields.nth(5).and_then(|day| day.parse().ok());
        (found == name).then(|| Self { password: password.to_owned(), expires })
    }

    /// As sshd on Linux: `!` in front locks; `*`, a password that cannot match, leaves keys in.
    pub(super) fn is_locked(&self) -> bool {
        self.password.starts_with('!')
    }

    /// Whether the account was dead before `today`.
    pub(super) fn has_expired(&self, today: u64) -> bool {
        self.expires.is_some_and(|day| day < today)
    }
}

fn groups_of(text: &str, name: &str) -> impl Iterator<Item = u32> {
    entries(text).filter(move |(_, _, members)| members.split(',').any(|member| member == name)).map(|(_, gid, _)| gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_those_that_list_the_name() {
        let text = "a:x:1:dev\nb:x:2:devil,ops\nbroken\nc:x:3:ops,dev\nd:x:x:dev\ne:x:5:\n";
        assert_eq!(groups_of(text, "dev").collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn a_shadow_line_locks_and_expires() {
        let shadow = |line| Shadow::from_line(line, "dev").unwrap();
        assert!(shadow("dev:!:19000::::::").is_locked() && shadow("dev:!$6$x:19000::::::").is_locked());
        assert!(!shadow("dev:*:19000::::::").is_locked() && !shadow("dev::::::::").is_locked());
        let old = shadow("dev:*:19000:0:99999:7::100:");
        assert!(old.has_expired(101) && !old.has_expired(100));
        assert!(!shadow("dev:*:19000:0:99999:7:::").has_expired(u64::MAX));
        assert_eq!(Shadow::from_line("other:!:1::::::", "dev"), None);
    }

    #[tokio::test]
    async fn the_name_service_knows_root_and_is_not_asked_for_options() {
        assert!(Book::system().ask("passwd", "root").await.starts_with("root:"));
        assert_eq!(Book::system().ask("passwd", "--help").await, "");
    }
}

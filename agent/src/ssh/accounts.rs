//! Which login name means which account, and whether that account may be entered.

mod book;

use super::{account::Account, aside::soon};
pub use book::Book;
use drawbridge_shared::native::clock;
use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc};

/// The login name that stands for the default account, whatever it is called.
const ALIAS: &str = "user";
const DAY: u64 = 24 * 60 * 60;

/// Accounts other than the agent's own that may log in; it takes a root agent to become one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Admitted {
    /// None.
    #[default]
    Own,
    /// Exactly these; the agent's own only if it is among them.
    Named(Vec<String>),
    /// Whatever account there is.
    Any,
}

/// The login names of a workspace.
#[derive(Debug)]
pub struct Accounts {
    own: Arc<Account>,
    admitted: Admitted,
    /// What the alias stands for.
    default: Option<String>,
    book: Book,
}

/// Why a name is no login. The text is for the log and for the user, whose key was good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoLogin {
    #[error("there is no login as '{asked}' here: use {instead}")]
    NotAdmitted { asked: String, instead: String },
    #[error("there is no account '{0}' in this workspace")]
    Unknown(String),
    #[error("the account '{0}' is locked: its entry in /etc/shadow begins with '!'")]
    Locked(String),
    #[error("the account '{0}' has expired")]
    Expired(String),
    #[error("the login shell of '{name}', {}, does not exist", shell.display())]
    NoShell { name: String, shell: PathBuf },
    #[error("the login shell of '{name}', {}, is no program", shell.display())]
    BadShell { name: String, shell: PathBuf },
}

impl From<Account> for Accounts {
    /// Nobody but the agent's own account.
    fn from(own: Account) -> Self {
        Self::new(own, Admitted::Own, None, Book::system())
    }
}

impl Accounts {
    /// `own` is the agent's; `default` is admitted too, and what the name `user` stands for: where none is given, the
    /// agent's own account if it is admitted, or the only one that is.
    pub fn new(own: Account, admitted: Admitted, default: Option<String>, book: Book) -> Self {
        let default = default.or_else(|| match &admitted {
            Admitted::Named(names) if names.contains(&own.name) => Some(own.name.clone()),
            Admitted::Named(names) if names.len() > 1 => None,
            Admitted::Named(names) => names.first().cloned(),
            Admitted::Own | Admitted::Any => Some(own.name.clone()),
        });
        Self { own: Arc::new(own), admitted, default, book }
    }

    /// The agent's own.
    pub(super) fn own(&self) -> &Arc<Account> {
        &self.own
    }

    /// The account that `asked` names, if it may be entered now.
    pub(super) async fn choose(&self, asked: &str) -> Result<Arc<Account>, NoLogin> {
        let name = self.meant(asked)?;
        let account = if name == self.own.name { self.own.clone() } else { Arc::new(self.enter(name).await?) };
        let entered = account.clone();
        // One whose file system does not answer is found out when it is to start.
        soon(account.uid, move || has_shell(&entered)).await.unwrap_or(Ok(()))?;
        Ok(account)
    }

    fn meant<'a>(&'a self, asked: &'a str) -> Result<&'a str, NoLogin> {
        let name = match &self.default {
            Some(default) if asked == ALIAS && !self.lists(ALIAS) => default,
            _ => asked,
        };
        let known = match self.admitted {
            Admitted::Own => name == self.own.name,
            Admitted::Named(_) => self.lists(name),
            Admitted::Any => true,
        };
        let admitted = known || self.default.as_deref() == Some(name);
        admitted.then_some(name).ok_or_else(|| NoLogin::NotAdmitted { asked: plain(asked), instead: self.instead() })
    }

    fn lists(&self, name: &str) -> bool {
        matches!(&self.admitted, Admitted::Named(names) if names.iter().any(|known| known == name))
    }

    fn instead(&self) -> String {
        let names: &[String] = match &self.admitted {
            Admitted::Named(names) => names,
            Admitted::Own | Admitted::Any => std::slice::from_ref(&self.own.name),
        };
        let alias = self.default.is_some() && !self.lists(ALIAS);
        let all: Vec<_> =
            names.iter().map(String::as_str).chain(alias.then_some(ALIAS)).map(|name| format!("'{name}'")).collect();
        all.join(" or ")
    }

    /// As sshd, in its order: locked, expired. The agent's own account is not asked about: the agent runs as it.
    async fn enter(&self, name: &str) -> Result<Account, NoLogin> {
        let account = self.book.account(name).await.ok_or_else(|| NoLogin::Unknown(plain(name)))?;
        let shadow = self.book.shadow(name);
        if shadow.as_ref().is_some_and(book::Shadow::is_locked) {
            return Err(NoLogin::Locked(account.name));
        }
        let today = clock::now().as_unix() / DAY;
        if shadow.is_some_and(|shadow| shadow.has_expired(today)) {
            return Err(NoLogin::Expired(account.name));
        }
        Ok(account)
    }
}

fn has_shell(account: &Account) -> Result<(), NoLogin> {
    let (name, shell) = (account.name.clone(), account.shell.clone());
    match fs::metadata(&shell) {
        Err(_) => Err(NoLogin::NoShell { name, shell }),
        Ok(found) if !found.is_file() || found.permissions().mode() & 0o111 == 0 => Err(NoLogin::BadShell { name, shell }),
        Ok(_) => Ok(()),
    }
}

/// What a client called itself, fit for a log and a terminal.
fn plain(name: &str) -> String {
    name.escape_debug().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\ndev:x:4000:4000::/home/dev:/bin/sh\nops:x:4001:4000::/:/bin/nosuch\n\
                          bang:x:4002:4000::/:/bin/sh\nstar:x:4003:4000::/:/bin/sh\nold:x:4004:4000::/:/bin/sh\n\
                          folder:x:4005:4000::/:/bin\nuser:x:4006:4000::/:/bin/sh\n";
    const SHADOW: &str = "bang:!:19000::::::\nstar:*:19000::::::\nold:*:19000:::::100:\n";
    const GROUP: &str = "tty:x:5:\ndev:x:4000:\nextra:x:4010:ops,dev\n";

    fn accounts(admitted: Admitted, default: Option<&str>) -> (Accounts, tempfile::TempDir) {
        let etc = tempfile::tempdir().unwrap();
        for (name, text) in [("passwd", PASSWD), ("shadow", SHADOW), ("group", GROUP)] {
            fs::write(etc.path().join(name), text).unwrap();
        }
        let own = Account::named_in_passwd(PASSWD, "root").unwrap();
        (Accounts::new(own, admitted, default.map(str::to_owned), Book::of_files(etc.path())), etc)
    }

    async fn told(accounts: &Accounts, name: &str) -> String {
        accounts.choose(name).await.map_or_else(|fault| fault.to_string(), |account| account.name.clone())
    }

    #[tokio::test]
    async fn the_own_account_answers_to_its_name_and_to_user() {
        let (accounts, _etc) = accounts(Admitted::Own, None);
        assert_eq!(told(&accounts, "root").await, "root");
        assert_eq!(told(&accounts, "user").await, "root");
        for (name, shown) in [("dev", "dev"), ("Root", "Root"), ("", ""), ("ro\not", "ro\\not")] {
            assert_eq!(told(&accounts, name).await, format!("there is no login as '{shown}' here: use 'root' or 'user'"));
        }
        assert_eq!(accounts.choose("root").await.unwrap().assumed, None);
    }

    #[tokio::test]
    async fn named_accounts_are_exactly_those() {
        let (accounts, _etc) = accounts(Admitted::Named(vec!["dev".into(), "star".into()]), None);
        assert_eq!(accounts.choose("dev").await.unwrap().assumed.as_ref().unwrap().groups, [4000, 4010]);
        let words = |name| format!("there is no login as '{name}' here: use 'dev' or 'star'");
        assert_eq!(told(&accounts, "root").await, words("root"));
        assert_eq!(told(&accounts, "user").await, words("user"), "it would be root");
    }

    #[tokio::test]
    async fn the_alias_is_the_default_or_the_only_one() {
        for (names, default, meant) in [
            (vec!["dev"], None, "dev"),
            (vec!["dev", "root"], None, "root"),
            (vec!["dev", "star"], Some("star"), "star"),
            (vec!["star", "user"], Some("dev"), "user"),
        ] {
            let (accounts, _etc) = accounts(Admitted::Named(names.into_iter().map(str::to_owned).collect()), default);
            assert_eq!(told(&accounts, "user").await, meant);
        }
        let (accounts, _etc) = accounts(Admitted::Own, Some("dev"));
        assert_eq!((told(&accounts, "user").await, told(&accounts, "root").await), ("dev".into(), "root".into()));
    }

    #[tokio::test]
    async fn locked_expired_and_shellless_accounts_are_refused_as_sshd_does() {
        let (accounts, _etc) = accounts(Admitted::Any, None);
        for (name, wanted) in [
            ("star", "star"),
            ("bang", "the account 'bang' is locked: its entry in /etc/shadow begins with '!'"),
            ("old", "the account 'old' has expired"),
            ("ops", "the login shell of 'ops', /bin/nosuch, does not exist"),
            ("folder", "the login shell of 'folder', /bin, is no program"),
            ("nobody-here", "there is no account 'nobody-here' in this workspace"),
            ("4000", "there is no account '4000' in this workspace"),
        ] {
            assert_eq!(told(&accounts, name).await, wanted);
        }
    }
}

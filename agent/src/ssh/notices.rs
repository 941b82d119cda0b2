//! What the machine tells those who log in: the message of the day, and that nobody may.

use super::{account::Account, limits};
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// Puts its user's shells out of every notice but `nologin`.
const HUSH: &str = ".hushlogin";

/// Where notices are.
#[derive(Clone, Debug)]
pub(super) struct Notices {
    /// As Debian shows them: what was made up for this boot, then what the administrator wrote.
    motd: [PathBuf; 2],
    nologin: PathBuf,
}

impl Notices {
    /// Those of the machine whose files are below `root`.
    pub(super) fn below(root: &Path) -> Self {
        let motd = ["run/motd.dynamic", "etc/motd"].map(|file| root.join(file));
        Self { motd, nologin: root.join("etc/nologin") }
    }

    /// The message of the day, for a shell on a terminal that did not ask for quiet.
    pub(super) fn of_the_day(&self, account: &Account) -> Vec<u8> {
        if account.home.join(HUSH).exists() {
            return Vec::new();
        }
        self.motd.iter().filter_map(|file| text(file)).flatten().collect()
    }

    /// Why nobody but the superuser may log in now, if so; it may be empty.
    pub(super) fn nobody_may(&self, account: &Account) -> Option<Vec<u8>> {
        let closed = account.uid != 0 && self.nologin.exists();
        closed.then(|| text(&self.nologin).unwrap_or_default())
    }
}

/// Its beginning, if it is a file; anything else is not even opened.
fn text(file: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let is_file = file.metadata().ok()?.is_file();
    is_file.then(|| File::open(file).ok()?.take(limits::NOTICE_BYTES).read_to_end(&mut bytes).ok()).flatten()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn machine() -> (tempfile::TempDir, Notices, Account) {
        let root = tempfile::tempdir().unwrap();
        for folder in ["etc", "run", "home"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let notices = Notices::below(root.path());
        let home = root.path().join("home");
        let account = Account { name: "dev".into(), uid: 1, gid: 1, home, shell: "/bin/sh".into(), tty: None, assumed: None };
        (root, notices, account)
    }

    #[test]
    fn the_days_message_is_both_files_unless_hushed() {
        let (root, notices, account) = machine();
        assert_eq!(notices.of_the_day(&account), b"");
        fs::write(root.path().join("etc/motd"), "written\n").unwrap();
        fs::write(root.path().join("run/motd.dynamic"), "made up\n").unwrap();
        assert_eq!(notices.of_the_day(&account), b"made up\nwritten\n");
        fs::write(account.home.join(HUSH), "").unwrap();
        assert_eq!(notices.of_the_day(&account), b"");
    }

    #[test]
    fn nologin_is_for_all_but_the_superuser() {
        let (root, notices, account) = machine();
        assert_eq!(notices.nobody_may(&account), None);
        fs::write(root.path().join("etc/nologin"), "going down\n").unwrap();
        assert_eq!(notices.nobody_may(&account), Some(b"going down\n".to_vec()));
        assert_eq!(notices.nobody_may(&Account { uid: 0, ..account }), None);
    }

    #[test]
    fn a_long_notice_is_cut_and_a_folder_is_none() {
        let (root, notices, account) = machine();
        fs::write(root.path().join("etc/motd"), vec![b'x'; 100_000]).unwrap();
        fs::create_dir(root.path().join("run/motd.dynamic")).unwrap();
        assert_eq!(notices.of_the_day(&account).len(), 64 * 1024);
    }
}

//! One case at one server: a fresh folder, the clients, and the facts that are noted.

use crate::{
    facts::Facts,
    side::{Side, TARGET},
    world::World,
};
use anyhow::Result;
use e2e::Outcome;
use std::{
    cell::{Ref, RefCell},
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// Where a case plays.
pub(crate) struct Scene<'a> {
    pub(crate) world: &'a World,
    pub(crate) side: &'a Side,
    folder: TempDir,
    facts: RefCell<Facts>,
}

impl<'a> Scene<'a> {
    /// With a folder in which both the client and the server work.
    pub(crate) fn new(world: &'a World, side: &'a Side) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("cf-").tempdir()?;
        let mut facts = Facts::new(side.names());
        facts.hide(folder.path().display(), "<dir>");
        Ok(Self { world, side, folder, facts: facts.into() })
    }

    /// Its folder.
    pub(crate) fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.path(name);
        fs::write(&path, bytes)?;
        Ok(path)
    }

    /// A file whose name is no text.
    pub(crate) fn file_of_bytes(&self, name: &[u8], bytes: impl AsRef<[u8]>) -> Result<()> {
        Ok(fs::write(self.dir().join(OsStr::from_bytes(name)), bytes)?)
    }

    /// `ssh <options> target`, up to the command.
    pub(crate) fn ssh(&self, options: &[&str]) -> Command {
        let mut ssh = self.side.client("ssh");
        ssh.args(options).arg(TARGET);
        ssh
    }

    /// Runs a command without a terminal and without input; notes what came of it.
    pub(crate) fn exec(&self, name: &str, command: &str) -> Result<()> {
        self.observe(name, self.ssh(&["-n"]).arg(command))
    }

    /// Runs a client to its end; notes what came of it.
    pub(crate) fn observe(&self, name: &str, client: &mut Command) -> Result<()> {
        let outcome = crate::run::run(client, &[])?;
        self.outcome(name, &outcome);
        Ok(())
    }

    /// Notes what a client's run came to.
    pub(crate) fn outcome(&self, name: &str, outcome: &Outcome) {
        self.facts.borrow_mut().outcome(name, outcome);
    }

    /// Notes a text.
    pub(crate) fn note(&self, name: &str, value: impl ToString) {
        self.facts.borrow_mut().note(name, value);
    }

    /// Notes bytes.
    pub(crate) fn bytes(&self, name: &str, bytes: &[u8]) {
        self.facts.borrow_mut().bytes(name, bytes);
    }

    /// From now on `text` is shown as `name`.
    pub(crate) fn hide(&self, text: impl ToString, name: &str) {
        self.facts.borrow_mut().hide(text, name);
    }

    /// What was noted.
    pub(crate) fn facts(&self) -> Ref<'_, Facts> {
        self.facts.borrow()
    }
}

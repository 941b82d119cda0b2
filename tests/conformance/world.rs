//! Both servers, started once: the stack with its agent, and the reference.

use crate::{others::Others, side::Side};
use anyhow::{Context, Result, anyhow};
use e2e::{Stack, reference::Reference};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use xtask::{build, root, tools};

static WORLD: Mutex<Option<Result<Arc<World>, String>>> = Mutex::new(None);

/// What cases run in.
pub(crate) struct World {
    pub(crate) sshd: Side,
    pub(crate) agent: Side,
    /// Interpreter with asyncssh and paramiko.
    pub(crate) python: PathBuf,
    pub(crate) rsync: PathBuf,
    pub(crate) others: Others,
    _stack: Stack,
    _reference: Reference,
    /// One suite a checkout.
    _lock: File,
}

/// Where the suite keeps its files.
pub(crate) fn folder() -> PathBuf {
    build::target(root()).join("conformance")
}

/// Root's home inside the suite's seclusion.
pub(crate) fn home() -> PathBuf {
    folder().join("home")
}

/// Builds what everything starts from; says what it does.
pub(crate) fn prepare() -> Result<()> {
    build::all(root())?;
    fs::create_dir_all(folder()).context("cannot make the suite's folder")
}

/// Gets all clients and the reference, of which a machine may have none.
pub(crate) fn gather() -> Result<()> {
    tools::Sshd::find(root())?;
    tools::rsync(root())?;
    Others::prepare()?;
    python().map(drop)
}

/// The one world, started by the first case that wants it.
pub(crate) fn world() -> Result<Arc<World>> {
    let mut held = WORLD.lock().unwrap_or_else(PoisonError::into_inner);
    let begun = held.get_or_insert_with(|| World::start(&folder()).map(Arc::new).map_err(|fault| format!("{fault:#}")));
    begun.clone().map_err(|fault| anyhow!("the servers did not start: {fault}"))
}

/// Stops both, if they run.
pub(crate) fn end() {
    drop(WORLD.lock().unwrap_or_else(PoisonError::into_inner).take());
}

fn python() -> Result<PathBuf> {
    tools::python::environment(root(), "conformance", &root().join("tests/conformance/clients/requirements.txt"))
}

impl World {
    fn start(dir: &Path) -> Result<Self> {
        let lock = File::create(dir.join("lock"))?;
        lock.try_lock().map_err(|_| anyhow!("a conformance suite runs in {} already", dir.display()))?;
        let stack = Stack::start(root(), &dir.join("stack"), build::programs(root()))?;
        let alice = stack.user("alice")?;
        let public = alice.key_file.with_extension("pub");
        let reference = Reference::start(&tools::Sshd::find(root())?, &dir.join("sshd"), &public, "LogLevel VERBOSE\n")?;
        let known_hosts = dir.join("known_hosts");
        let known = fs::read_to_string(stack.dir().join("known_hosts"))?;
        fs::write(&known_hosts, format!("{known}[127.0.0.1]:{} {}\n", reference.port, reference.host_key))?;
        let key = &alice.key_file;
        Ok(Self {
            sshd: Side::sshd(&dir.join("ssh_config.sshd"), reference.port, key, &known_hosts)?,
            agent: Side::agent(&dir.join("ssh_config.agent"), "ws-796636", stack.daemon.port, key, &known_hosts)?,
            python: python()?,
            rsync: tools::rsync(root())?,
            others: Others::new(dir, key, &known_hosts)?,
            _stack: stack,
            _reference: reference,
            _lock: lock,
        })
    }
}

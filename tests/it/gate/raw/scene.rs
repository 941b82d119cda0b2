//! Where adversaries play: a daemon and an agent of their own, somebody whose session must not be harmed, and the doors.

use crate::tunnels::{Echo, Place};
use anyhow::{Context, Result, ensure};
use e2e::{Stack, answered, cost::resident, raw::Raw};
use serde_json::json;
use ssh_key::PrivateKey;
use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// No case may cost daemon or agent more than this; what they keep for good is measured elsewhere.
const MEMORY: usize = 192 << 20;
/// What a user's name must not become in a log: another line, or a terminal's command.
pub(super) const CROOKED_NAME: &str = "eve\n2026-01-01T00:00:00Z forged-line\u{1b}[2J\0end";

/// One place, and what is watched in it.
pub(in crate::gate) struct Scene {
    pub(in crate::gate) place: Place,
    victim: Echo,
    logs: [PathBuf; 2],
    member: PrivateKey,
    stranger: PrivateKey,
    folder: TempDir,
    way: Option<Child>,
    said: u32,
}

/// Where an adversary knocks, and with which keys.
pub(in crate::gate) struct Door {
    at: At,
    /// Who may enter.
    pub(super) member: PrivateKey,
    /// Who may not.
    pub(super) stranger: PrivateKey,
    /// What the jump host knows the workspace as.
    pub(super) workspace: String,
}

#[derive(Clone)]
enum At {
    Jump(SocketAddr),
    /// A socket that leads through the jump host.
    Agent(PathBuf),
}

impl Scene {
    pub(in crate::gate) fn new(world: &Stack, name: &str) -> Result<Self> {
        let place = Place::new(world, name, &[])?;
        let (mallory, stranger) = (format!("{name}-mallory"), format!("{name}-stranger"));
        let (member, stranger) = (world.new_user(&mallory)?, world.new_stranger(&stranger)?);
        let membership = format!("/api/operator/workspaces/{}/members/{mallory}", place.workspace.id);
        world.edge.operator().put(&membership, &json!({}))?.ok()?;
        let read = |file| Ok::<_, anyhow::Error>(PrivateKey::from_openssh(fs::read_to_string(file)?)?);
        let logs = [format!("daemon-{name}"), format!("agent-{}", place.workspace.id)];
        let logs = logs.map(|log| world.dir().join("logs").join(log + ".log"));
        let victim = Echo::start(&place)?;
        let (member, stranger) = (read(&member.key_file)?, read(&stranger.key_file)?);
        Ok(Self { place, victim, logs, member, stranger, folder: tempfile::tempdir()?, way: None, said: 0 })
    }

    pub(in crate::gate) fn jump(&self) -> Door {
        self.door(At::Jump(([127, 0, 0, 1], self.place.region.daemon.port).into()))
    }

    /// Through one outer connection of the stock client's.
    pub(super) fn agent(&mut self) -> Result<Door> {
        let socket = self.folder.path().join("agent.sock");
        let mut ssh = Command::new("ssh");
        let forward = format!("{}:{}:22", socket.display(), self.place.workspace.id);
        ssh.arg("-F").arg(&self.place.user.ssh_config).args(["-n", "-N", "-o", "BatchMode=yes", "-L", &forward]);
        ssh.arg(xtask::stack::JUMP).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.way = Some(ssh.spawn()?);
        answered(&socket)?;
        Ok(self.door(At::Agent(socket)))
    }

    fn door(&self, at: At) -> Door {
        let workspace = self.place.workspace.id.clone();
        Door { at, member: self.member.clone(), stranger: self.stranger.clone(), workspace }
    }

    /// Both processes live, somebody else's session answers, and memory is within its bound.
    pub(in crate::gate) fn unharmed(&mut self, after: &str) -> Result<()> {
        self.said += 1;
        self.victim.say(&format!("line {}", self.said)).with_context(|| format!("the other user's session, after: {after}"))?;
        let Place { region, workspace, .. } = &mut self.place;
        for (name, process) in [("daemon", &mut region.daemon.process), ("agent", &mut workspace.agent)] {
            ensure!(process.ended().is_none(), "the {name} has ended, after: {after}");
            let takes = resident(process.pid())?;
            ensure!(takes < MEMORY, "the {name} takes {} MiB, after: {after}", takes >> 20);
        }
        Ok(())
    }

    /// Whether the daemon's log has these words.
    pub(in crate::gate) fn daemon_says(&self, words: &str) -> Result<bool> {
        Ok(self.lines_with(words)? > 0)
    }

    /// How many lines of the daemon's log have them.
    pub(in crate::gate) fn lines_with(&self, words: &str) -> Result<usize> {
        Ok(fs::read_to_string(&self.logs[0])?.lines().filter(|line| line.contains(words)).count())
    }

    /// What clients call themselves is no command to a terminal and no line of its own, and no task has panicked.
    pub(in crate::gate) fn nothing_raw_is_logged(&self) -> Result<()> {
        for log in &self.logs {
            let bytes = fs::read(log)?;
            let text = String::from_utf8_lossy(&bytes);
            let raw = text.lines().find(|line| line.contains(['\u{1b}', '\0']) || line.starts_with("2026-01-01"));
            ensure!(raw.is_none(), "{}: {raw:?}", log.display());
            ensure!(!text.contains("panicked"), "{} tells of a panic", log.display());
        }
        Ok(())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(way) = &mut self.way {
            // Fails only when it has ended.
            let _ = way.kill();
            let _ = way.wait();
        }
    }
}

impl Door {
    pub(super) const fn is_jump(&self) -> bool {
        matches!(self.at, At::Jump(_))
    }

    /// Bytes that the process behind it takes.
    pub(super) fn memory(&self, scene: &Scene) -> Result<usize> {
        let Place { region, workspace, .. } = &scene.place;
        resident(if self.is_jump() { region.daemon.process.pid() } else { workspace.agent.pid() })
    }

    /// A bare connection.
    pub(super) fn knock(&self) -> Result<Raw> {
        match &self.at {
            At::Jump(address) => Raw::connect(*address),
            At::Agent(socket) => Raw::connect_unix(socket),
        }
    }

    /// With identifications exchanged.
    pub(super) fn greeted(&self) -> Result<Raw> {
        let mut raw = self.knock()?;
        raw.greet()?;
        Ok(raw)
    }

    /// With keys exchanged.
    pub(super) fn met(&self) -> Result<Raw> {
        let mut raw = self.knock()?;
        raw.meet()?;
        Ok(raw)
    }

    /// About to log in.
    pub(super) fn asked(&self) -> Result<Raw> {
        let mut raw = self.met()?;
        raw.begin_login()?;
        Ok(raw)
    }

    /// Logged in.
    pub(in crate::gate) fn entered(&self) -> Result<Raw> {
        let mut raw = self.knock()?;
        raw.log_in("user", &self.member)?;
        Ok(raw)
    }

    /// A copy for a thread.
    pub(super) fn again(&self) -> Self {
        let (member, stranger) = (self.member.clone(), self.stranger.clone());
        Self { at: self.at.clone(), member, stranger, workspace: self.workspace.clone() }
    }
}

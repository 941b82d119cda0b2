//! A region of its own for a test that attacks its daemon: one workspace, its user, and what the daemon takes up.

use anyhow::Result;
use e2e::{
    Stack, User,
    client::{Outcome, outcome},
    cost::resident,
};
use std::{fs, net::SocketAddr, process::Command};
use xtask::stack::{Region, Workspace};

/// Where nobody calls from: a daemon that exempts it exempts nobody.
pub(super) const NOWHERE: [&str; 2] = ["--penalty-exempt", "192.0.2.0/24"];

/// The scene.
pub(super) struct Scene {
    pub(super) user: User,
    pub(super) region: Region,
    workspace: Workspace,
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) descriptors: usize,
    /// Resident, in kB.
    pub(super) memory: usize,
}

impl Scene {
    /// One called `name`, whose daemon is started with `options`.
    pub(super) fn new(world: &Stack, name: &str, options: &[&str]) -> Result<Self> {
        Self::with_agent(world, name, options, &[])
    }

    /// The same, its agent started with `agent` as options.
    pub(super) fn with_agent(world: &Stack, name: &str, options: &[&str], agent: &[&str]) -> Result<Self> {
        let region = world.region(name, options, |daemon| Ok(vec![daemon]))?;
        let user = world.new_user(&format!("{name}-user"))?;
        let workspace = world.workspace_in(&region, &format!("{name}-place"), &[&user.id], agent)?;
        let user = world.user_in(&region, &user, &[&workspace])?;
        Ok(Self { user, region, workspace })
    }

    /// The users' door.
    pub(super) fn door(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.region.daemon.port).into()
    }

    /// `who` as a user of this scene's jump host.
    pub(super) fn here(&self, world: &Stack, who: &User) -> Result<User> {
        world.user_in(&self.region, who, &[&self.workspace])
    }

    /// What comes of logging in to the workspace, with `way` as options on the way to the jump host.
    pub(super) fn enter(&self, way: &str) -> Result<Outcome> {
        self.run(way, "echo in")
    }

    /// The same with another command.
    pub(super) fn run(&self, way: &str, command: &str) -> Result<Outcome> {
        self.run_as(&self.user, way, command)
    }

    /// The same as another user, of this jump host, at the workspace itself; the way there is the scene's user's.
    pub(super) fn run_as(&self, who: &User, way: &str, command: &str) -> Result<Outcome> {
        let mut ssh = quiet(who);
        let config = self.user.ssh_config.display();
        let way = format!("ProxyCommand=ssh -F '{config}' -o BatchMode=yes {way} -W %h:%p {}", xtask::stack::JUMP);
        ssh.args(["-n", "-o", &way]).arg(format!("user@{}", self.workspace.id)).arg(command);
        outcome(&mut ssh)
    }

    /// What the daemon holds now.
    pub(super) fn held(&self) -> Result<Held> {
        let pid = self.region.daemon.process.pid();
        Ok(Held { descriptors: fs::read_dir(format!("/proc/{pid}/fd"))?.count(), memory: resident(pid)? / 1024 })
    }

    /// How many connections were given up for `reason` before a key was proven.
    pub(super) fn dropped(&self, reason: &str) -> Result<f64> {
        self.region.daemon.sample(&format!("drawbridge_pre_auth_dropped_total{{reason=\"{reason}\"}}"))
    }
}

/// `ssh` as `user`, asking nothing.
pub(super) fn quiet(user: &User) -> Command {
    let mut ssh = Command::new("ssh");
    ssh.arg("-F").arg(&user.ssh_config).args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=15"]);
    ssh
}

/// What comes of `user`'s call at the jump host itself, from the loopback address `from`.
pub(super) fn call(user: &User, from: &str) -> Result<Outcome> {
    outcome(quiet(user).args(["-n", "-v", "-b", from, xtask::stack::JUMP]))
}

//! One more region beside the demo's: a daemon of its own, whose way from the agents a test may route as it likes.

use super::{Stack, User, Workspace, daemon::Daemon, files, host_key, known};
use crate::process::Process;
use anyhow::Result;
use std::{fs, net::SocketAddr, path::PathBuf};

/// A region as one of its daemons has it. Dropping it stops that; its workspaces are their holders'.
#[derive(Debug)]
pub struct Region {
    /// Its name, which is its first daemon's too.
    pub name: String,
    /// Its jump host.
    pub daemon: Daemon,
    dir: PathBuf,
}

impl Stack {
    /// A region called `name`, its daemon started with `options` beside the usual ones. `route` says under which addresses
    /// agents are to look for the one where the daemon listens for them.
    pub fn region(
        &self,
        name: &str,
        options: &[&str],
        route: impl FnOnce(SocketAddr) -> Result<Vec<SocketAddr>>,
    ) -> Result<Region> {
        self.daemon_in(name, name, options, route)
    }

    /// `region` as it is through one more daemon of it, called `name`.
    pub fn beside(
        &self,
        region: &Region,
        name: &str,
        route: impl FnOnce(SocketAddr) -> Result<Vec<SocketAddr>>,
    ) -> Result<Region> {
        self.daemon_in(&region.name, name, &[], route)
    }

    fn daemon_in(
        &self,
        region: &str,
        name: &str,
        options: &[&str],
        route: impl FnOnce(SocketAddr) -> Result<Vec<SocketAddr>>,
    ) -> Result<Region> {
        let dir = self.dir.join("regions").join(name);
        fs::create_dir_all(&dir)?;
        let daemon = Daemon::start(&self.programs, &self.dir, &self.edge, name, &dir.join("daemon"), options)?;
        daemon.register(&self.edge.operator(), region, route(daemon.tunnel)?)?;
        Ok(Region { name: region.into(), daemon, dir })
    }

    /// Starts another process that takes the place of `region`'s daemon; returns the old one.
    pub fn upgrade(&self, region: &mut Region) -> Result<Process> {
        region.daemon.upgrade(&self.programs, &self.dir, &self.edge.url)
    }

    /// A workspace called `id` in `region` with `members`, its agent started with `options` beside the usual ones and connected.
    pub fn workspace_in(&self, region: &Region, id: &str, members: &[&str], options: &[&str]) -> Result<Workspace> {
        self.connected_workspace(&region.name, id, members, options)
    }

    /// `user` as one who calls `region`'s jump host, and knows its key and those of `workspaces`.
    pub fn user_in(&self, region: &Region, user: &User, workspaces: &[&Workspace]) -> Result<User> {
        let api = self.edge.operator();
        let keys = workspaces.iter().map(|workspace| host_key(&api, &workspace.id)).collect::<Result<Vec<_>>>()?;
        let jump = fs::read_to_string(region.dir.join("daemon/identity.pub"))?;
        known::write(&region.dir, "", region.daemon.port, &jump, &keys)?;
        let known = [known::path(&region.dir), known::authorities(&region.dir)];
        let ssh_config = files::ssh_config(&region.dir, &user.id, region.daemon.port, &user.key_file, &known)?;
        Ok(User { ssh_config, ..user.clone() })
    }
}

//! A region whose agent calls through a relay that kills its tunnels: what runs there has to go on all the same.

use anyhow::{Context, Result};
use e2e::{Stack, User, relay::Relay};
use xtask::stack::{Region, Workspace};

/// Its name.
const NAME: &str = "rough";

/// The region, its workspace, and who works there.
#[derive(Debug)]
pub(crate) struct Rough {
    pub(crate) user: User,
    pub(crate) workspace: Workspace,
    pub(crate) region: Region,
    pub(crate) relay: Relay,
}

impl Rough {
    pub(crate) fn start(stack: &Stack) -> Result<Self> {
        let mut relay = None;
        let region = stack.region(NAME, &[], |daemon| Ok(vec![relay.insert(Relay::start(daemon)?).address()]))?;
        let relay = relay.context("no relay")?;
        let user = stack.new_user(&format!("{NAME}-user"))?;
        let workspace = stack.workspace_in(&region, &format!("{NAME}-place"), &[&user.id], &[])?;
        let user = stack.user_in(&region, &user, &[&workspace])?;
        Ok(Self { user, workspace, region, relay })
    }

    /// What to log in to.
    pub(crate) fn target(&self) -> String {
        format!("user@{}", self.workspace.id)
    }

    /// Kills the tunnel; the next one is over QUIC in every second `round`, and over WebSocket in the others.
    pub(crate) fn cut(&self, round: usize) {
        self.relay.udp(round.is_multiple_of(2));
        self.relay.tcp(!round.is_multiple_of(2));
        self.relay.cut();
    }

    /// Lets everything through again.
    pub(crate) fn heal(&self) {
        self.relay.udp(true);
        self.relay.tcp(true);
        self.relay.stall(false);
    }
}

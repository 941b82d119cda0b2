//! All doors of a daemon, and the file that says where they are.

use crate::{BindFault, config::Addresses, limits::MAX_LISTENING, listener::Ports};
use drawbridge_shared::native::{doors::Opener, identity::Identity, state_dir::StateDir};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tracing::warn;

/// File of the state folder that says where the daemon listens while it runs.
const LISTENING: &str = "listening.json";

/// Open ones; nobody is accepted yet.
#[derive(Debug)]
pub(crate) struct Doors {
    /// For users.
    pub(crate) users: TcpListener,
    /// For agents.
    pub(crate) agents: Ports,
    /// For operators.
    pub(crate) operators: Option<TcpListener>,
}

/// Where a daemon listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    /// Users, by SSH.
    pub ssh: SocketAddr,
    /// Agents, by QUIC (UDP) and WebSocket (TCP).
    pub tunnel: SocketAddr,
    /// Operators, by HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<SocketAddr>,
    /// Its process.
    pub pid: u32,
}

impl Doors {
    /// Has `opener` open them at `addresses`, as `identity`.
    pub(crate) fn open(addresses: &Addresses, identity: &Identity, mut opener: Opener) -> Result<Self, BindFault> {
        let Addresses { ssh, tunnel, admin } = *addresses;
        let agents = Ports::bind(tunnel, identity, &mut opener).map_err(|fault| BindFault::Tunnel(tunnel, fault))?;
        let operators = admin.map(|admin| opener.stream(admin).map_err(|fault| BindFault::Admin(admin, fault))).transpose()?;
        // Last: from now on users wait here.
        let users = opener.stream(ssh).map_err(|fault| BindFault::Ssh(ssh, fault))?;
        opener.passed.close();
        Ok(Self { users, agents, operators })
    }

    /// Where they are.
    pub(crate) fn listening(&self) -> Result<Listening, BindFault> {
        Ok(Listening {
            ssh: self.users.local_addr()?,
            tunnel: self.agents.local_addr()?,
            admin: self.operators.as_ref().map(TcpListener::local_addr).transpose()?,
            pid: std::process::id(),
        })
    }
}

impl Listening {
    /// Says so in `state`. Best effort: nobody who comes in needs it.
    pub(crate) fn announce(&self, state: &StateDir) {
        if let Err(fault) = state.write(LISTENING, &serde_json::to_vec(self).unwrap_or_default()) {
            warn!(%fault, "serving all the same; whoever looks there for this daemon's ports does not find them");
        }
    }

    /// Takes that back, unless another process has said something else since. Best effort: a file that stays says where a
    /// daemon was.
    pub(crate) fn withdraw(&self, state: &StateDir) {
        let said = state.read(LISTENING, MAX_LISTENING).ok().flatten();
        let ours = said.and_then(|text| serde_json::from_slice::<Self>(&text).ok()) == Some(*self);
        if ours {
            let _ = std::fs::remove_file(state.path(LISTENING));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_back_what_another_said() {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::open(&root.path().join("state")).unwrap();
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let old = Listening { ssh: at(1), tunnel: at(2), admin: Some(at(3)), pid: 1 };
        let new = Listening { pid: 2, ..old };
        old.announce(&state);
        new.announce(&state);
        old.withdraw(&state);
        assert!(state.path(LISTENING).exists());
        new.withdraw(&state);
        assert!(!state.path(LISTENING).exists());
    }
}

//! russh's settings for the inner SSH: what both servers share, and the agent's own bounds.

use super::{Alive, limits};
use drawbridge_shared::native::ssh::{self, steer::Offer};
use russh::{
    SshId,
    keys::{Certificate, PrivateKey},
    server::Config,
};
use std::{borrow::Cow, sync::Arc};
use tokio::sync::watch;

/// The software that clients are to treat this server as: that of the version which it is compared with. asyncssh, libssh and
/// WinSCP send the arguments of SFTP's SYMLINK in OpenSSH's order, which is not the draft's, to servers of that name (OpenSSH
/// PROTOCOL section 4.1), and node's ssh2 forwards Unix sockets for no other. Whose it is stands in the comment (RFC 4253
/// section 4.2).
const ID: &str = concat!("SSH-2.0-OpenSSH_9.2 Drawbridge_", env!("CARGO_PKG_VERSION"));

/// The settings of the next connection; those that run keep theirs. Cheap to clone.
#[derive(Clone)]
pub(super) struct Settings {
    host_key: Arc<PrivateKey>,
    alive: Alive,
    pub(super) current: Arc<watch::Sender<Offer>>,
}

impl Settings {
    /// Of a server that owns `host_key`, has no certificate yet, and asks for signs of life as `alive` says.
    pub(super) fn new(host_key: PrivateKey, alive: Alive) -> Self {
        let first = Offer::new(|| config(&host_key, alive, None));
        Self { host_key: Arc::new(host_key), alive, current: Arc::new(watch::Sender::new(first)) }
    }

    /// Shows `certificate` beside the plain key.
    pub(super) fn certify(&self, certificate: Certificate) {
        self.current.send_replace(Offer::new(|| config(&self.host_key, self.alive, Some(&certificate))));
    }

    pub(super) fn current(&self) -> Offer {
        self.current.borrow().clone()
    }
}

pub(super) fn config(host_key: &PrivateKey, alive: Alive, certificate: Option<&Certificate>) -> Config {
    Config {
        server_id: SshId::Standard(Cow::Borrowed(ID)),
        certificates: certificate.cloned().into_iter().collect(),
        max_auth_attempts: limits::AUTH_ATTEMPTS,
        window_size: limits::INFLOW.first_window,
        maximum_packet_size: limits::PACKET,
        channel_buffer_size: limits::CHANNEL_MESSAGES,
        event_buffer_size: limits::OUTBOUND_MESSAGES,
        keepalive_interval: alive.interval,
        keepalive_max: alive.unanswered,
        ..ssh::config(host_key.clone())
    }
}

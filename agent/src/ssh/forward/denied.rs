//! Why something is not forwarded: one list for the log, the client and the channel's failure code.

use super::policy::Directions;
use crate::ssh::{limits, spawn::reason};
use std::io;

/// RFC 4254 section 5.1.
const PROHIBITED: u32 = 1;
const CONNECT_FAILED: u32 = 2;
const SHORTAGE: u32 = 4;

/// How much of a name that a client gave is repeated.
const REPEATED: usize = 64;

/// The reason, as the user reads it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::ssh) enum Denied {
    #[error("not logged in")]
    Login,
    #[error("connections through this workspace (-L, -D, -W) are off: its agent runs with --allow-tcp-forwarding {0}")]
    TcpLocal(Directions),
    #[error("listening ports in this workspace (-R) are off: its agent runs with --allow-tcp-forwarding {0}")]
    TcpRemote(Directions),
    #[error("connections to Unix sockets (-L) are off: this workspace's agent runs with --allow-stream-local-forwarding {0}")]
    StreamLocal(Directions),
    #[error("listening Unix sockets (-R) are off: this workspace's agent runs with --allow-stream-local-forwarding {0}")]
    StreamRemote(Directions),
    #[error("agent forwarding (-A) is off: this workspace's agent runs with --allow-agent-forwarding no")]
    Agent,
    #[error("X11 is not forwarded here: run the program under Xvfb or VNC and forward its port with -L")]
    X11,
    #[error("Unix sockets of account '{0}' are not served by an agent that runs as another one: use a TCP port")]
    Account(String),
    #[error("too many channels are open on this connection: close some or connect once more")]
    Channels,
    #[error("{} forwarded connections are open on this connection: close some or connect once more", limits::FORWARDS)]
    Crowded,
    #[error("this connection listens in {} places already: cancel one or connect once more", limits::LISTENERS)]
    Listeners,
    #[error("there is no port {0}: ports go up to 65535")]
    Port(u32),
    #[error("port {0} is for root alone: choose one from {1} on")]
    Privileged(u16, u16),
    #[error("'{0}' is no address to listen on: give an IP address, 'localhost' or '*'")]
    Address(String),
    #[error("the host's name is too long")]
    HostName,
    #[error("a socket's path has to be absolute, and '{0}' is not")]
    Relative(String),
    #[error("a socket's path has at most {} bytes", limits::SOCKET_PATH)]
    LongPath,
    /// What the system says, in its words, as sshd repeats them.
    #[error("{0}")]
    System(String),
}

impl Denied {
    /// `address`, shortened and made printable.
    pub(super) fn address(address: &str) -> Self {
        Self::Address(printable(address))
    }

    /// `path`, shortened and made printable.
    pub(super) fn relative(path: &str) -> Self {
        Self::Relative(printable(path))
    }

    /// The failure code of a channel that is not opened.
    pub(in crate::ssh) fn code(&self) -> u32 {
        match self {
            Self::Channels | Self::Crowded | Self::Listeners => SHORTAGE,
            Self::Port(_) | Self::HostName | Self::Relative(_) | Self::LongPath | Self::System(_) => CONNECT_FAILED,
            _ => PROHIBITED,
        }
    }
}

impl From<io::Error> for Denied {
    fn from(fault: io::Error) -> Self {
        let words = reason(&fault);
        Self::System(words.strip_prefix("failed to lookup address information: ").unwrap_or(&words).to_owned())
    }
}

impl From<rustix::io::Errno> for Denied {
    fn from(fault: rustix::io::Errno) -> Self {
        io::Error::from(fault).into()
    }
}

/// At most [`REPEATED`] characters of what a client sent, none of them a control character.
pub(super) fn printable(text: &str) -> String {
    text.escape_debug().take(REPEATED).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_words_are_those_of_c() {
        let refused = Denied::from(io::Error::from_raw_os_error(libc::ECONNREFUSED));
        assert_eq!((refused.to_string().as_str(), refused.code()), ("Connection refused", CONNECT_FAILED));
        let unknown = io::Error::other("failed to lookup address information: Name or service not known");
        assert_eq!(Denied::from(unknown).to_string(), "Name or service not known");
    }

    #[test]
    fn what_a_client_sent_is_not_repeated_as_it_is() {
        let told = Denied::address(&"\x1b[2J".repeat(100)).to_string();
        assert!(told.len() < 200 && !told.contains('\x1b'), "{told}");
    }

    #[test]
    fn policy_shortage_and_failure_have_their_codes() {
        assert_eq!(Denied::Agent.code(), PROHIBITED);
        assert_eq!(Denied::Crowded.code(), SHORTAGE);
        assert_eq!(Denied::LongPath.code(), CONNECT_FAILED);
    }
}

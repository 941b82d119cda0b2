//! What may be forwarded: the agent's options, in the words of sshd_config(5).

use super::denied::Denied;
use std::{fmt, str::FromStr};

/// One switch for each kind; the default is sshd's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardPolicy {
    /// `AllowTcpForwarding`.
    pub tcp: Directions,
    /// `AllowStreamLocalForwarding`: Unix sockets.
    pub stream_local: Directions,
    /// `AllowAgentForwarding`.
    pub agent: bool,
    /// `GatewayPorts`: who may reach the ports of `-R`.
    pub gateway: GatewayPorts,
    /// `StreamLocalBindUnlink`: whether `-R` takes the place of a socket that is there.
    pub unlink: bool,
}

/// From where to where connections may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directions {
    /// Both ways.
    Yes,
    /// Neither way.
    No,
    /// From the client to what the workspace reaches: `-L`, `-D`, `-W`.
    Local,
    /// From the workspace to what the client reaches: `-R`.
    Remote,
}

/// Where the ports of `-R` listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatewayPorts {
    /// On loopback alone.
    No,
    /// On every address, whatever the client asks for.
    Yes,
    /// Where the client asks for.
    ClientSpecified,
}

/// A word that stands for no value of its option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("one of {0}")]
pub struct Unknown(&'static str);

impl Default for ForwardPolicy {
    fn default() -> Self {
        Self { tcp: Directions::Yes, stream_local: Directions::Yes, agent: true, gateway: GatewayPorts::No, unlink: false }
    }
}

impl ForwardPolicy {
    pub(super) fn tcp_to_workspace(&self) -> Result<(), Denied> {
        self.tcp.local().then_some(()).ok_or(Denied::TcpLocal(self.tcp))
    }

    pub(super) fn tcp_from_workspace(&self) -> Result<(), Denied> {
        self.tcp.remote().then_some(()).ok_or(Denied::TcpRemote(self.tcp))
    }

    pub(super) fn sockets_to_workspace(&self) -> Result<(), Denied> {
        self.stream_local.local().then_some(()).ok_or(Denied::StreamLocal(self.stream_local))
    }

    pub(super) fn sockets_from_workspace(&self) -> Result<(), Denied> {
        self.stream_local.remote().then_some(()).ok_or(Denied::StreamRemote(self.stream_local))
    }

    pub(super) fn agent(&self) -> Result<(), Denied> {
        self.agent.then_some(()).ok_or(Denied::Agent)
    }
}

impl Directions {
    fn local(self) -> bool {
        matches!(self, Self::Yes | Self::Local)
    }

    fn remote(self) -> bool {
        matches!(self, Self::Yes | Self::Remote)
    }
}

impl fmt::Display for Directions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Local => "local",
            Self::Remote => "remote",
        })
    }
}

impl FromStr for Directions {
    type Err = Unknown;

    fn from_str(word: &str) -> Result<Self, Unknown> {
        match word {
            "yes" | "all" => Ok(Self::Yes),
            "no" => Ok(Self::No),
            "local" => Ok(Self::Local),
            "remote" => Ok(Self::Remote),
            _ => Err(Unknown("yes, no, local, remote")),
        }
    }
}

impl FromStr for GatewayPorts {
    type Err = Unknown;

    fn from_str(word: &str) -> Result<Self, Unknown> {
        match word {
            "no" => Ok(Self::No),
            "yes" => Ok(Self::Yes),
            "clientspecified" => Ok(Self::ClientSpecified),
            _ => Err(Unknown("no, yes, clientspecified")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_allows_what_sshd_allows() {
        let policy = ForwardPolicy::default();
        assert!(policy.tcp_to_workspace().is_ok() && policy.tcp_from_workspace().is_ok());
        assert!(policy.sockets_to_workspace().is_ok() && policy.sockets_from_workspace().is_ok() && policy.agent().is_ok());
        assert_eq!((policy.gateway, policy.unlink), (GatewayPorts::No, false));
    }

    #[test]
    fn each_direction_has_its_word() {
        for (word, local, remote) in [("yes", true, true), ("no", false, false), ("local", true, false), ("remote", false, true)]
        {
            let policy = ForwardPolicy { tcp: word.parse().unwrap(), ..ForwardPolicy::default() };
            assert_eq!((policy.tcp_to_workspace().is_ok(), policy.tcp_from_workspace().is_ok()), (local, remote), "{word}");
            assert_eq!(policy.tcp.to_string(), word);
        }
        assert_eq!("all".parse(), Ok(Directions::Yes));
    }

    #[test]
    fn a_refusal_names_the_option() {
        let off = ForwardPolicy { tcp: Directions::Remote, stream_local: Directions::No, agent: false, ..Default::default() };
        let told = off.tcp_to_workspace().unwrap_err().to_string();
        assert!(told.contains("--allow-tcp-forwarding remote"), "{told}");
        let told = off.sockets_from_workspace().unwrap_err().to_string();
        assert!(told.contains("--allow-stream-local-forwarding no"), "{told}");
        assert!(off.agent().unwrap_err().to_string().contains("--allow-agent-forwarding no"));
    }

    #[test]
    fn other_words_are_told_what_would_do() {
        assert_eq!("maybe".parse::<Directions>().unwrap_err().to_string(), "one of yes, no, local, remote");
        assert_eq!("client".parse::<GatewayPorts>().unwrap_err().to_string(), "one of no, yes, clientspecified");
    }
}

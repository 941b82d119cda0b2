//! The options that say what may be forwarded, named and valued as in sshd_config(5).

use crate::ssh::{ForwardPolicy, Unknown};
use clap::Args;
use drawbridge_shared::native::options::Faults;
use std::str::FromStr;

/// As given.
#[derive(Args, Debug)]
pub(super) struct ForwardingOptions {
    /// Connections from the client into the workspace (local: -L, -D, -W) and back (remote: -R): yes, no, local, remote
    #[arg(long, env = "DRAWBRIDGE_ALLOW_TCP_FORWARDING", default_value = "yes", value_name = "WHICH")]
    allow_tcp_forwarding: String,
    /// The same for Unix sockets
    #[arg(long, env = "DRAWBRIDGE_ALLOW_STREAM_LOCAL_FORWARDING", default_value = "yes", value_name = "WHICH")]
    allow_stream_local_forwarding: String,
    /// Whether sessions may use the client's SSH agent (-A): yes, no
    #[arg(long, env = "DRAWBRIDGE_ALLOW_AGENT_FORWARDING", default_value = "yes", value_name = "YES_OR_NO")]
    allow_agent_forwarding: String,
    /// Where ports of -R listen: no (loopback), yes (every address), clientspecified
    #[arg(long, env = "DRAWBRIDGE_GATEWAY_PORTS", default_value = "no", value_name = "WHERE")]
    gateway_ports: String,
    /// Whether -R takes the place of a Unix socket that is already there: yes, no
    #[arg(long, env = "DRAWBRIDGE_STREAM_LOCAL_BIND_UNLINK", default_value = "no", value_name = "YES_OR_NO")]
    stream_local_bind_unlink: String,
}

impl ForwardingOptions {
    /// Checks them.
    pub(super) fn check(&self, faults: &mut Faults) -> Option<ForwardPolicy> {
        let tcp = faults.note(parse("--allow-tcp-forwarding", &self.allow_tcp_forwarding));
        let stream_local = faults.note(parse("--allow-stream-local-forwarding", &self.allow_stream_local_forwarding));
        let agent = faults.note(yes_or_no("--allow-agent-forwarding", &self.allow_agent_forwarding));
        let gateway = faults.note(parse("--gateway-ports", &self.gateway_ports));
        let unlink = faults.note(yes_or_no("--stream-local-bind-unlink", &self.stream_local_bind_unlink));
        Some(ForwardPolicy { tcp: tcp?, stream_local: stream_local?, agent: agent?, gateway: gateway?, unlink: unlink? })
    }
}

fn parse<T: FromStr<Err = Unknown>>(option: &str, word: &str) -> Result<T, String> {
    word.parse().map_err(|fault| format!("{option} {word}: {fault}"))
}

fn yes_or_no(option: &str, word: &str) -> Result<bool, String> {
    match word {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("{option} {word}: one of yes, no")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::{Directions, GatewayPorts};
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        forwarding: ForwardingOptions,
    }

    fn check(options: &[&str]) -> Result<ForwardPolicy, Faults> {
        let mut faults = Faults::default();
        let given = Cli::parse_from(["test"].iter().chain(options)).forwarding;
        given.check(&mut faults).ok_or(faults)
    }

    #[test]
    fn no_option_means_sshds_defaults() {
        assert_eq!(check(&[]).unwrap(), ForwardPolicy::default());
    }

    #[test]
    fn each_kind_has_its_option() {
        let given = ["--allow-tcp-forwarding=local", "--allow-stream-local-forwarding=remote", "--allow-agent-forwarding=no"];
        let more = ["--gateway-ports=clientspecified", "--stream-local-bind-unlink=yes"];
        let policy = check(&[&given[..], &more].concat()).unwrap();
        let expected = ForwardPolicy {
            tcp: Directions::Local,
            stream_local: Directions::Remote,
            agent: false,
            gateway: GatewayPorts::ClientSpecified,
            unlink: true,
        };
        assert_eq!(policy, expected);
    }

    #[test]
    fn every_wrong_word_is_told() {
        let told = check(&["--gateway-ports=maybe", "--allow-agent-forwarding=local"]).unwrap_err().to_string();
        assert!(told.contains("2 faults") && told.contains("--gateway-ports maybe: one of no, yes, clientspecified"), "{told}");
    }
}

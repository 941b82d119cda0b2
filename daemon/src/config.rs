//! What the daemon is told, checked all at once.

use crate::{
    Spans,
    admission::{Policy, Startups},
    audit::Place,
    limits::MAX_CONNECTIONS,
};
use clap::Args;
use drawbridge_shared::{
    native::{
        log::LogFormat,
        options::{Edge, EdgeOptions, Faults, seconds},
    },
    token::Scope,
};
use ipnet::IpNet;
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Options of `drawbridge-daemon run`, as given.
#[derive(Args, Debug)]
pub struct Raw {
    #[command(flatten)]
    edge: EdgeOptions,
    /// Where users connect by SSH
    #[arg(long, env = "DRAWBRIDGE_LISTEN_SSH", default_value = "[::]:22", value_name = "ADDR:PORT")]
    listen_ssh: String,
    /// Where agents connect: QUIC on UDP and WebSocket on TCP, on one port
    #[arg(long, env = "DRAWBRIDGE_LISTEN_TUNNEL", default_value = "[::]:443", value_name = "ADDR:PORT")]
    listen_tunnel: String,
    /// Domain that may stand behind a workspace's name, as in 796636.eu.example.com; may be repeated
    #[arg(long, env = "DRAWBRIDGE_DOMAINS", value_delimiter = ',', value_name = "DOMAIN")]
    domain: Vec<String>,
    /// From START logins under way on, RATE per cent of new connections are turned away, more and more of them until at
    /// FULL all are
    #[arg(long, env = "DRAWBRIDGE_MAX_STARTUPS", default_value = "1000:30:3000", value_name = "START:RATE:FULL")]
    max_startups: String,
    /// Logins that one IPv4 address, or one /64 of IPv6, may have under way
    #[arg(long, env = "DRAWBRIDGE_MAX_STARTUPS_PER_SOURCE", default_value = "100", value_name = "NUMBER")]
    max_startups_per_source: String,
    /// Addresses without a limit of their own and never shut out for failed logins: those that many users share. By
    /// default this machine's own, where whatever stands in front of the daemon speaks for everybody; may be repeated
    #[arg(long, env = "DRAWBRIDGE_PENALTY_EXEMPT", default_values = ["127.0.0.0/8", "::1/128"], value_delimiter = ',', value_name = "CIDR")]
    penalty_exempt: Vec<String>,
    /// Balancers, whose connections have to begin with a PROXY protocol header of version 2: limits, logs and agents see
    /// the address that it names; may be repeated
    #[arg(long, env = "DRAWBRIDGE_PROXY_PROTOCOL_FROM", value_delimiter = ',', value_name = "CIDR")]
    proxy_protocol_from: Vec<String>,
    /// Seconds between two questions for a new snapshot
    #[arg(long, env = "DRAWBRIDGE_POLL_SECONDS", default_value = "2", value_name = "SECONDS")]
    poll_seconds: String,
    /// Seconds past its end that the last good snapshot still lets users in
    #[arg(long, env = "DRAWBRIDGE_GRACE_SECONDS", default_value = "86400", value_name = "SECONDS")]
    grace_seconds: String,
    /// Take the place of the process that serves this state folder, if one does: it is told to drain once this one serves
    #[arg(long, env = "DRAWBRIDGE_TAKE_OVER")]
    take_over: bool,
    /// Seconds that live sessions get after SIGTERM; a second SIGTERM ends them at once
    #[arg(long, env = "DRAWBRIDGE_DRAIN_SECONDS", default_value = "60", value_name = "SECONDS")]
    drain_seconds: String,
    /// The same while another process has taken this one's place
    #[arg(long, env = "DRAWBRIDGE_HANDOVER_SECONDS", default_value = "86400", value_name = "SECONDS")]
    handover_seconds: String,
    /// Seconds that a connection waits for its agent to come back when its tunnel is gone; 0 ends it at once
    #[arg(long, env = "DRAWBRIDGE_RESUME_SECONDS", default_value = "300", value_name = "SECONDS")]
    resume_seconds: String,
    /// File that gets one JSON line a login, refusal, open and close; `-` is standard output. It may be moved away at any
    /// time
    #[arg(long, env = "DRAWBRIDGE_AUDIT", value_name = "FILE")]
    audit: Option<Place>,
    /// Where operators read /metrics, /healthz and /readyz: an address of this machine's loopback
    #[arg(long, env = "DRAWBRIDGE_ADMIN", value_name = "ADDR:PORT")]
    admin: Option<String>,
    /// How logs are written
    #[arg(long, env = "DRAWBRIDGE_LOG_FORMAT", default_value = "text", value_enum)]
    pub log_format: LogFormat,
}

/// Options that have been checked.
#[derive(Debug)]
pub struct Config {
    /// The edge.
    pub edge: Edge,
    /// The doors.
    pub doors: Addresses,
    /// Whether another process may be here, whose place is taken.
    pub take_over: bool,
    /// Domains of this region, lower case.
    pub domains: Vec<String>,
    /// How many may knock.
    pub admission: Policy,
    /// Between two questions to the edge.
    pub poll: Duration,
    /// Past a snapshot's end.
    pub grace: Duration,
    /// For live sessions at the end.
    pub spans: Spans,
    /// For an agent to come back.
    pub resume: Duration,
    /// What happened to users.
    pub audit: Option<Place>,
}

/// Where the doors are to be.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Users'.
    pub ssh: SocketAddr,
    /// Agents'.
    pub tunnel: SocketAddr,
    /// Operators', on the loopback.
    pub admin: Option<SocketAddr>,
}

impl Raw {
    /// Checks every option; `token` is the environment's.
    pub fn check(self, token: Option<String>) -> Result<Config, Faults> {
        let mut faults = Faults::default();
        self.checked(token, &mut faults).ok_or(faults)
    }

    fn checked(self, token: Option<String>, faults: &mut Faults) -> Option<Config> {
        let edge = self.edge.check(token, Scope::Daemon, faults);
        let listen_ssh = faults.note(address("--listen-ssh", &self.listen_ssh));
        let listen_tunnel = faults.note(address("--listen-tunnel", &self.listen_tunnel));
        let domains = faults.note(self.domain.iter().map(|name| domain(name)).collect());
        let startups = faults.note(startups(&self.max_startups));
        let per_source = faults.note(per_source(&self.max_startups_per_source));
        let exempt = faults.note(networks("--penalty-exempt", &self.penalty_exempt));
        let balancers = faults.note(networks("--proxy-protocol-from", &self.proxy_protocol_from));
        let poll = faults.note(seconds("--poll-seconds", &self.poll_seconds, 1..=3600));
        let grace = faults.note(seconds("--grace-seconds", &self.grace_seconds, 0..=30 * 86_400));
        let drain = faults.note(seconds("--drain-seconds", &self.drain_seconds, 0..=86_400));
        let handover = faults.note(seconds("--handover-seconds", &self.handover_seconds, 0..=7 * 86_400));
        let resume = faults.note(seconds("--resume-seconds", &self.resume_seconds, 0..=3600));
        let admin = faults.note(self.admin.as_deref().map(loopback).transpose());
        Some(Config {
            edge: edge?,
            doors: Addresses { ssh: listen_ssh?, tunnel: listen_tunnel?, admin: admin? },
            take_over: self.take_over,
            domains: domains?,
            admission: Policy { startups: startups?, per_source: per_source?, exempt: exempt?, balancers: balancers? },
            poll: poll?,
            grace: grace?,
            spans: Spans { handover: handover?, drain: drain? },
            resume: resume?,
            audit: self.audit,
        })
    }
}

fn address(option: &str, text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{option} {text}: an address and a port, for example [::]:22 or 127.0.0.1:0"))
}

fn startups(text: &str) -> Result<Startups, String> {
    let startups: Startups = text.parse().map_err(|fault| format!("--max-startups {text}: {fault}"))?;
    if startups.full() <= MAX_CONNECTIONS {
        Ok(startups)
    } else {
        Err(format!("--max-startups {text}: FULL is at most {MAX_CONNECTIONS}, the connections that a daemon serves"))
    }
}

fn per_source(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("--max-startups-per-source {text}: a number, at least 1"))
}

fn networks(option: &str, texts: &[String]) -> Result<Vec<IpNet>, String> {
    texts.iter().map(|text| network(option, text)).collect()
}

fn network(option: &str, text: &str) -> Result<IpNet, String> {
    let network = text.parse().or_else(|_| text.parse().map(|address: IpAddr| IpNet::from(address)));
    network.map_err(|_| format!("{option} {text}: a network as 192.0.2.0/24 or 2001:db8::/32, or an address"))
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address = address("--admin", text)?;
    if address.ip().to_canonical().is_loopback() {
        Ok(address)
    } else {
        Err(format!("--admin {text}: nobody is asked who they are there, so it has to be a loopback address, as 127.0.0.1:9090"))
    }
}

fn domain(text: &str) -> Result<String, String> {
    let label = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let good = text.len() <= 253 && text.split('.').all(label);
    if good {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(format!("--domain {text}: a domain like eu.example.com, without a dot at either end"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        raw: Raw,
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let arguments = ["daemon", "--state-dir", "/tmp/x", "--edge", "ftp://x", "--trust", "/nowhere"];
        let more = ["--listen-ssh", "22", "--poll-seconds", "0", "--domain", ".eu"];
        let admission = ["--max-startups", "9:9", "--max-startups-per-source", "0", "--penalty-exempt", "10.0.0.0/99"];
        let cli = Cli::parse_from([&arguments[..], &more, &admission].concat());
        let faults = cli.raw.check(None).unwrap_err().to_string();
        assert!(faults.starts_with("the options have 9 faults:"), "{faults}");
    }

    #[test]
    fn operators_are_on_the_loopback() {
        for good in ["127.0.0.1:9090", "[::1]:0", "[::ffff:127.0.0.2]:1"] {
            assert!(loopback(good).is_ok(), "{good}");
        }
        for bad in ["0.0.0.0:9090", "[::]:9090", "192.0.2.1:9090", "[::ffff:192.0.2.1]:1", "9090"] {
            assert!(loopback(bad).unwrap_err().starts_with("--admin"), "{bad}");
        }
    }

    #[test]
    fn networks_and_addresses_are_networks() {
        assert_eq!(network("", "192.0.2.1"), Ok("192.0.2.1/32".parse().unwrap()));
        assert_eq!(network("", "2001:db8::/32"), Ok("2001:db8::/32".parse().unwrap()));
        assert!(network("--penalty-exempt", "::/129").unwrap_err().starts_with("--penalty-exempt ::/129"));
    }

    #[test]
    fn a_daemon_serves_whom_it_lets_knock() {
        assert!(startups("10000").is_ok() && startups("1:1:10001").unwrap_err().contains("at most 10000"));
    }

    #[test]
    fn domains_are_made_lower_case() {
        assert_eq!(domain("EU.example.com").as_deref(), Ok("eu.example.com"));
        assert!(domain("eu..com").is_err());
    }
}

//! What the daemon is told, checked all at once.

use clap::{Args, ValueEnum};
use drawbridge_shared::{
    signed::TrustRoots,
    token::{Scope, Token},
};
use reqwest::Url;
use std::{fmt, fs, net::SocketAddr, path::PathBuf, time::Duration};

/// Options of `drawbridge-daemon run`, as given.
#[derive(Args, Debug)]
pub struct Raw {
    /// Address of the edge, for example https://keys.example.com
    #[arg(long, env = "DRAWBRIDGE_EDGE", value_name = "URL")]
    edge: String,
    /// File with this daemon's token (dbd_...); DRAWBRIDGE_TOKEN takes the token itself
    #[arg(long, env = "DRAWBRIDGE_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// File with the edge's public signing keys, one `ssh-ed25519 AAAA...` a line
    #[arg(long, env = "DRAWBRIDGE_TRUST", value_name = "FILE")]
    trust: PathBuf,
    /// Folder for this daemon's identity and the last good snapshot
    #[arg(long, env = "DRAWBRIDGE_STATE_DIR", value_name = "DIR")]
    state_dir: PathBuf,
    /// Where users connect by SSH
    #[arg(long, env = "DRAWBRIDGE_LISTEN_SSH", default_value = "[::]:22", value_name = "ADDR:PORT")]
    listen_ssh: String,
    /// Where agents connect by QUIC (UDP)
    #[arg(long, env = "DRAWBRIDGE_LISTEN_TUNNEL", default_value = "[::]:443", value_name = "ADDR:PORT")]
    listen_tunnel: String,
    /// Domain that may stand behind a workspace's name, as in 796636.eu.example.com; may be repeated
    #[arg(long, env = "DRAWBRIDGE_DOMAINS", value_delimiter = ',', value_name = "DOMAIN")]
    domain: Vec<String>,
    /// Seconds between two questions for a new snapshot
    #[arg(long, env = "DRAWBRIDGE_POLL_SECONDS", default_value = "2", value_name = "SECONDS")]
    poll_seconds: String,
    /// Seconds past its end that the last good snapshot still lets users in
    #[arg(long, env = "DRAWBRIDGE_GRACE_SECONDS", default_value = "86400", value_name = "SECONDS")]
    grace_seconds: String,
    /// Seconds that live sessions get after SIGTERM; a second SIGTERM ends them at once
    #[arg(long, env = "DRAWBRIDGE_DRAIN_SECONDS", default_value = "60", value_name = "SECONDS")]
    drain_seconds: String,
    /// How logs are written
    #[arg(long, env = "DRAWBRIDGE_LOG_FORMAT", default_value = "text", value_enum)]
    pub log_format: LogFormat,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// Options that have been checked.
#[derive(Debug)]
pub struct Config {
    /// The edge.
    pub edge: Url,
    /// What opens it.
    pub token: Token,
    /// Whose snapshots are believed.
    pub trust: TrustRoots,
    /// Where state is kept.
    pub state_dir: PathBuf,
    /// Users' door.
    pub listen_ssh: SocketAddr,
    /// Agents' door.
    pub listen_tunnel: SocketAddr,
    /// Domains of this region, lower case.
    pub domains: Vec<String>,
    /// Between two questions to the edge.
    pub poll: Duration,
    /// Past a snapshot's end.
    pub grace: Duration,
    /// For live sessions at the end.
    pub drain: Duration,
}

/// All that is wrong with the options.
#[derive(Debug)]
pub struct Faults(Vec<String>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} fault(s):", self.0.len())?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  - {fault}"))
    }
}

impl std::error::Error for Faults {}

impl Raw {
    /// Checks every option; `token` is the environment's, which no command line shows.
    pub fn check(self, token: Option<String>) -> Result<Config, Faults> {
        let mut faults = Vec::new();
        let checked = Checked {
            edge: note(&mut faults, edge(&self.edge)),
            token: note(&mut faults, self.token(token)),
            trust: note(&mut faults, trust(&self.trust)),
            listen_ssh: note(&mut faults, address("--listen-ssh", &self.listen_ssh)),
            listen_tunnel: note(&mut faults, address("--listen-tunnel", &self.listen_tunnel)),
            domains: note(&mut faults, self.domain.iter().map(|domain| checked_domain(domain)).collect()),
            poll: note(&mut faults, seconds("--poll-seconds", &self.poll_seconds, 1..=3600)),
            grace: note(&mut faults, seconds("--grace-seconds", &self.grace_seconds, 0..=30 * 86_400)),
            drain: note(&mut faults, seconds("--drain-seconds", &self.drain_seconds, 0..=86_400)),
        };
        checked.whole(self.state_dir).ok_or(Faults(faults))
    }

    fn token(&self, given: Option<String>) -> Result<Token, String> {
        let text = match (given, &self.token_file) {
            (Some(text), None) => text,
            (None, Some(file)) => {
                fs::read_to_string(file).map_err(|fault| format!("--token-file {}: {fault}", file.display()))?
            }
            (None, None) => return Err("no token: give --token-file, or DRAWBRIDGE_TOKEN in the environment".into()),
            (Some(_), Some(_)) => return Err("two tokens: give --token-file or DRAWBRIDGE_TOKEN, not both".into()),
        };
        let token: Token = text.trim().parse().map_err(|fault| format!("the token: {fault}"))?;
        let scope = token.scope();
        if scope == Scope::Daemon {
            Ok(token)
        } else {
            Err(format!("the token is of scope {scope}: a daemon's starts with dbd_"))
        }
    }
}

/// One field an option, absent where it has a fault.
struct Checked {
    edge: Option<Url>,
    token: Option<Token>,
    trust: Option<TrustRoots>,
    listen_ssh: Option<SocketAddr>,
    listen_tunnel: Option<SocketAddr>,
    domains: Option<Vec<String>>,
    poll: Option<Duration>,
    grace: Option<Duration>,
    drain: Option<Duration>,
}

impl Checked {
    fn whole(self, state_dir: PathBuf) -> Option<Config> {
        Some(Config {
            edge: self.edge?,
            token: self.token?,
            trust: self.trust?,
            state_dir,
            listen_ssh: self.listen_ssh?,
            listen_tunnel: self.listen_tunnel?,
            domains: self.domains?,
            poll: self.poll?,
            grace: self.grace?,
            drain: self.drain?,
        })
    }
}

fn note<T>(faults: &mut Vec<String>, checked: Result<T, String>) -> Option<T> {
    checked.map_err(|fault| faults.push(fault)).ok()
}

fn edge(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|fault| format!("--edge {text}: {fault}"))?;
    match url.scheme() {
        "http" | "https" if url.path() == "/" => Ok(url),
        _ => Err(format!("--edge {text}: an address like https://keys.example.com, without a path")),
    }
}

fn trust(file: &PathBuf) -> Result<TrustRoots, String> {
    let text = fs::read_to_string(file).map_err(|fault| format!("--trust {}: {fault}", file.display()))?;
    text.parse().map_err(|fault| format!("--trust {}: {fault}", file.display()))
}

fn address(option: &str, text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{option} {text}: an address and a port, for example [::]:22 or 127.0.0.1:0"))
}

fn checked_domain(text: &str) -> Result<String, String> {
    let label = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let good = text.len() <= 253 && text.split('.').all(label);
    if good {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(format!("--domain {text}: a domain like eu.example.com, without a dot at either end"))
    }
}

fn seconds(option: &str, text: &str, range: std::ops::RangeInclusive<u64>) -> Result<Duration, String> {
    let number: Option<u64> = text.parse().ok().filter(|number| range.contains(number));
    number
        .map(Duration::from_secs)
        .ok_or_else(|| format!("{option} {text}: whole seconds from {} to {}", range.start(), range.end()))
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

    fn check(arguments: &[&str], token: Option<&str>) -> Result<Config, Faults> {
        let given = [&["daemon", "--state-dir", "/tmp/x"], arguments].concat();
        Cli::parse_from(given).raw.check(token.map(str::to_owned))
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let arguments =
            ["--edge", "ftp://x", "--trust", "/nowhere", "--listen-ssh", "22", "--poll-seconds", "0", "--domain", ".eu"];
        let Faults(faults) = check(&arguments, Some("dbd_nonsense")).unwrap_err();
        assert_eq!(faults.len(), 6, "{faults:?}");
        assert!(!faults.iter().any(|fault| fault.contains("nonsense")), "a token is never repeated");
    }

    #[test]
    fn a_whole_configuration_passes() {
        let folder = tempfile::tempdir().unwrap();
        let trust = folder.path().join("trust");
        let key = drawbridge_shared::native::identity::Identity::from_seed(&[1; 32]).public().to_line();
        fs::write(&trust, key).unwrap();
        let token = Token::mint(Scope::Daemon, &[1; 32]);
        let arguments = ["--edge", "https://keys.example.com", "--trust", trust.to_str().unwrap(), "--domain", "EU.example.com"];
        let config = check(&arguments, Some(token.expose())).unwrap();
        assert_eq!(config.domains, ["eu.example.com"]);
        let users = Token::mint(Scope::User, &[1; 32]);
        assert!(check(&arguments, Some(users.expose())).unwrap_err().to_string().contains("dbd_"));
    }
}

//! What the agent is told, checked all at once.

mod forwarding;
mod routes;

use crate::{
    dialer::Routes,
    ssh::{Account, Accounts, Admitted, Alive, Book, EnvPolicy, ForwardPolicy},
    upstream::Upstream,
};
use clap::Args;
use drawbridge_shared::{
    native::{
        log::LogFormat,
        options::{Edge, EdgeOptions, Faults, seconds},
    },
    token::Scope,
};
use forwarding::ForwardingOptions;
use routes::RouteOptions;
use std::time::Duration;

/// Options of `drawbridge-agent run`, as given.
#[derive(Args, Debug)]
pub struct Raw {
    #[command(flatten)]
    edge: EdgeOptions,
    /// Seconds between two questions for new keys; an unknown key, or word from a daemon, asks at once
    #[arg(long, env = "DRAWBRIDGE_POLL_SECONDS", default_value = "30", value_name = "SECONDS")]
    poll_seconds: String,
    /// Seconds past its end that the last good list of keys still lets users in
    #[arg(long, env = "DRAWBRIDGE_GRACE_SECONDS", default_value = "86400", value_name = "SECONDS")]
    grace_seconds: String,
    /// Accounts that may log in: `own`, names separated by commas, or `any`; others than its own need a root agent
    #[arg(long, env = "DRAWBRIDGE_ACCOUNTS", value_name = "ACCOUNTS")]
    accounts: Option<String>,
    /// Account that the login name `user` stands for [default: the agent's own]
    #[arg(long, env = "DRAWBRIDGE_DEFAULT_ACCOUNT", value_name = "NAME")]
    default_account: Option<String>,
    /// Patterns of the variables that a client may set, separated by commas
    #[arg(long, env = "DRAWBRIDGE_ACCEPT_ENV", default_value = EnvPolicy::DEFAULT, value_name = "PATTERNS")]
    accept_env: String,
    /// Seconds of silence after which a client is asked for a sign of life; 0 never asks
    #[arg(long, env = "DRAWBRIDGE_CLIENT_ALIVE_SECONDS", default_value = "60", value_name = "SECONDS")]
    client_alive_seconds: String,
    /// Unanswered questions after which a client is given up; 0 never gives up
    #[arg(long, env = "DRAWBRIDGE_CLIENT_ALIVE_COUNT", default_value = "0", value_name = "COUNT")]
    client_alive_count: String,
    /// Start beside the agent that serves this state folder, and take its place once a tunnel is up: it serves its sessions
    /// to their end
    #[arg(long, env = "DRAWBRIDGE_TAKE_OVER")]
    take_over: bool,
    /// Seconds that sessions may go on after another process has taken this one's place
    #[arg(long, env = "DRAWBRIDGE_HANDOVER_SECONDS", default_value = "86400", value_name = "SECONDS")]
    handover_seconds: String,
    /// An sshd that serves the connections in the agent's place; keys and accounts are its business then
    #[arg(long, env = "DRAWBRIDGE_UPSTREAM", value_name = "HOST:PORT")]
    upstream: Option<String>,
    #[command(flatten)]
    forwarding: ForwardingOptions,
    #[command(flatten)]
    routes: RouteOptions,
    /// How logs are written
    #[arg(long, env = "DRAWBRIDGE_LOG_FORMAT", default_value = "text", value_enum)]
    pub log_format: LogFormat,
}

/// Options that have been checked.
#[derive(Debug)]
pub struct Config {
    /// The edge.
    pub edge: Edge,
    /// Between two questions to the edge.
    pub poll: Duration,
    /// Past a document's end.
    pub grace: Duration,
    /// Whether it takes the place of a process that serves already.
    pub take_over: bool,
    /// How long sessions go on after another process took its place.
    pub handover: Duration,
    /// Who serves connections.
    pub service: Service,
    /// How daemons are reached.
    pub routes: Routes,
}

/// What serves inner connections.
#[derive(Debug)]
pub enum Service {
    /// The agent's own SSH server.
    Own {
        /// Who may log in as whom.
        accounts: Accounts,
        /// What clients may set.
        env: EnvPolicy,
        /// When they are given up.
        alive: Alive,
        /// What they may have forwarded.
        forwarding: ForwardPolicy,
    },
    /// An sshd.
    Upstream(Upstream),
}

impl Raw {
    /// Checks every option; `token` is the environment's.
    pub fn check(self, token: Option<String>) -> Result<Config, Faults> {
        let mut faults = Faults::default();
        self.checked(token, &mut faults).ok_or(faults)
    }

    fn checked(self, token: Option<String>, faults: &mut Faults) -> Option<Config> {
        let service = self.service(&Account::current(), faults);
        let edge = self.edge.check(token, Scope::Agent, faults);
        let poll = faults.note(seconds("--poll-seconds", &self.poll_seconds, 1..=3600));
        let grace = faults.note(seconds("--grace-seconds", &self.grace_seconds, 0..=30 * 86_400));
        let handover = faults.note(seconds("--handover-seconds", &self.handover_seconds, 0..=30 * 86_400));
        let (routes, take_over) = (self.routes.check(faults), self.take_over);
        Some(Config {
            edge: edge?,
            poll: poll?,
            grace: grace?,
            take_over,
            handover: handover?,
            service: service?,
            routes: routes?,
        })
    }

    fn service(&self, own: &Account, faults: &mut Faults) -> Option<Service> {
        let accounts = faults.note(self.accounts(own));
        let env =
            faults.note(EnvPolicy::parse(&self.accept_env).map_err(|fault| format!("--accept-env {}: {fault}", self.accept_env)));
        let alive = self.alive(faults);
        let forwarding = self.forwarding.check(faults);
        match &self.upstream {
            None => Some(Service::Own { accounts: accounts?, env: env?, alive: alive?, forwarding: forwarding? }),
            Some(text) => faults.note(self.upstream(text)).map(Service::Upstream),
        }
    }

    fn accounts(&self, own: &Account) -> Result<Accounts, String> {
        let admitted = admitted(self.accounts.as_deref().unwrap_or("own"))?;
        let others = match &admitted {
            Admitted::Own => false,
            Admitted::Named(names) => names.iter().any(|name| *name != own.name),
            Admitted::Any => true,
        };
        let others = others || self.default_account.as_ref().is_some_and(|name| *name != own.name);
        if others && own.uid != 0 {
            return Err(format!(
                "--accounts, --default-account: only root becomes another account, and this agent is '{}'",
                own.name
            ));
        }
        Ok(Accounts::new(own.clone(), admitted, self.default_account.clone(), Book::system()))
    }

    fn alive(&self, faults: &mut Faults) -> Option<Alive> {
        let interval = faults.note(seconds("--client-alive-seconds", &self.client_alive_seconds, 0..=86_400))?;
        let count = self.client_alive_count.parse().ok().filter(|count| (0..=1000).contains(count));
        let count = count.ok_or_else(|| format!("--client-alive-count {}: a number from 0 to 1000", self.client_alive_count));
        Some(Alive { interval: (!interval.is_zero()).then_some(interval), unanswered: faults.note(count)? })
    }

    fn upstream(&self, text: &str) -> Result<Upstream, String> {
        if self.accounts.is_some() || self.default_account.is_some() {
            return Err("--accounts, --default-account: with --upstream, accounts are that server's business".to_owned());
        }
        text.parse().map_err(|fault| format!("--upstream {text}: {fault}"))
    }
}

fn admitted(text: &str) -> Result<Admitted, String> {
    let names: Vec<_> = text.split(',').map(str::trim).map(str::to_owned).collect();
    match text {
        "own" => Ok(Admitted::Own),
        "any" => Ok(Admitted::Any),
        _ if names.iter().any(String::is_empty) => Err(format!("--accounts {text}: a name is empty")),
        _ => Ok(Admitted::Named(names)),
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

    fn service(uid: u32, options: &[&str]) -> Result<Service, String> {
        let own = Account { name: "me".into(), uid, gid: 1, home: "/".into(), shell: "/bin/sh".into(), tty: None, assumed: None };
        let raw = Cli::parse_from(["agent"].iter().chain(options)).raw;
        let mut faults = Faults::default();
        raw.service(&own, &mut faults).ok_or_else(|| faults.to_string())
    }

    #[test]
    fn an_ordinary_agent_serves_its_own_account_only() {
        assert!(service(1000, &[]).is_ok() && service(1000, &["--accounts", "me"]).is_ok());
        for options in [["--accounts", "any"], ["--accounts", "me,you"], ["--default-account", "you"]] {
            assert!(service(1000, &options).unwrap_err().contains("this agent is 'me'"));
            assert!(service(0, &options).is_ok());
        }
        assert!(service(0, &["--accounts", "a,,b"]).unwrap_err().contains("a name is empty"));
    }

    #[test]
    fn silence_is_bounded_or_allowed() {
        let alive = |options: &[&str]| match service(1, options) {
            Ok(Service::Own { alive, .. }) => Ok((alive.interval.map(|interval| interval.as_secs()), alive.unanswered)),
            other => Err(format!("{other:?}")),
        };
        let default = Alive::default();
        assert_eq!(alive(&[]), Ok((default.interval.map(|interval| interval.as_secs()), default.unanswered)));
        assert_eq!(alive(&[]), Ok((Some(60), 0)), "as sshd, which has no limit of its own");
        assert_eq!(alive(&["--client-alive-seconds", "0"]), Ok((None, 0)));
        assert_eq!(alive(&["--client-alive-seconds", "5", "--client-alive-count", "3"]), Ok((Some(5), 3)));
        assert!(alive(&["--client-alive-count", "1001"]).unwrap_err().contains("from 0 to 1000"));
    }

    #[test]
    fn an_upstream_is_a_host_and_a_port_and_takes_no_accounts() {
        assert!(matches!(service(0, &["--upstream", "127.0.0.1:22"]), Ok(Service::Upstream(_))));
        assert!(service(0, &["--upstream", "localhost"]).unwrap_err().contains("--upstream localhost"));
        assert!(service(0, &["--upstream", "a:22", "--accounts", "any"]).unwrap_err().contains("that server's business"));
        assert!(service(0, &["--accept-env", "A B"]).unwrap_err().contains("--accept-env"));
    }
}

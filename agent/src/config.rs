//! What the agent is told, checked all at once.

use clap::Args;
use drawbridge_shared::{
    native::{
        log::LogFormat,
        options::{Edge, EdgeOptions, Faults, seconds},
    },
    token::Scope,
};
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
}

impl Raw {
    /// Checks every option; `token` is the environment's.
    pub fn check(self, token: Option<String>) -> Result<Config, Faults> {
        let mut faults = Faults::default();
        self.checked(token, &mut faults).ok_or(faults)
    }

    fn checked(self, token: Option<String>, faults: &mut Faults) -> Option<Config> {
        let edge = self.edge.check(token, Scope::Agent, faults);
        let poll = faults.note(seconds("--poll-seconds", &self.poll_seconds, 1..=3600));
        let grace = faults.note(seconds("--grace-seconds", &self.grace_seconds, 0..=30 * 86_400));
        Some(Config { edge: edge?, poll: poll?, grace: grace? })
    }
}

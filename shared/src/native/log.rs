//! Logs: to standard error, for people or for machines.

use clap::ValueEnum;
use std::{
    env,
    io::{self, IsTerminal},
};
use tracing_subscriber::{
    filter::{LevelFilter, ParseError, Targets},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people; in colour on a terminal.
    Text,
    /// One object a line.
    Json,
}

/// Starts logging; `RUST_LOG` chooses what (`debug`, or `info,russh=debug`), `info` where it is unset.
pub fn to_stderr(format: LogFormat) {
    let asked = env::var("RUST_LOG").unwrap_or_default();
    let wanted = wanted(&asked);
    let understood = wanted.is_ok();
    let logs = tracing_subscriber::registry().with(wanted.unwrap_or_else(|_| usual()));
    let lines = fmt::layer().with_writer(io::stderr);
    match format {
        LogFormat::Text => logs.with(lines.with_ansi(io::stderr().is_terminal())).init(),
        LogFormat::Json => logs.with(lines.json()).init(),
    }
    if !understood {
        tracing::warn!("RUST_LOG is not understood and not followed: set a level, or target=level pairs with commas");
    }
}

fn usual() -> Targets {
    Targets::new().with_default(LevelFilter::INFO)
}

fn wanted(asked: &str) -> Result<Targets, ParseError> {
    if asked.is_empty() { Ok(usual()) } else { asked.parse() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn what_is_asked_for_is_logged() {
        let logs = |asked: &str, target: &str, level| wanted(asked).unwrap().would_enable(target, &level);
        assert!(logs("", "russh", Level::INFO) && !logs("", "russh", Level::DEBUG));
        assert!(logs("debug", "russh", Level::DEBUG) && !logs("debug", "russh", Level::TRACE));
        assert!(logs("warn,russh=trace", "russh::server", Level::TRACE) && !logs("warn,russh=trace", "hyper", Level::INFO));
        assert!(wanted("russh=loud").is_err());
    }
}

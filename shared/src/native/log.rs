//! Logs: to standard error, for people or for machines.

use clap::ValueEnum;
use std::{
    env,
    fmt::Result as Written,
    io::{self, IsTerminal},
};
use tracing_subscriber::{
    field::RecordFields,
    filter::{LevelFilter, ParseError, Targets},
    fmt::{self, FormatFields, format::DefaultFields, format::Writer},
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
        LogFormat::Text => logs.with(lines.with_ansi(io::stderr().is_terminal()).fmt_fields(Tame)).init(),
        LogFormat::Json => logs.with(lines.json()).init(),
    }
    if !understood {
        tracing::warn!("RUST_LOG is not understood and not followed: set a level, or target=level pairs with commas");
    }
}

/// Fields whose control characters are escaped, whoever chose them: a peer's words are neither lines of a log nor commands to
/// a terminal. (tracing-subscriber 0.3 escapes messages, and no fields.)
#[derive(Debug)]
struct Tame;

impl<'writer> FormatFields<'writer> for Tame {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> Written {
        let mut text = String::new();
        DefaultFields::new().format_fields(Writer::new(&mut text), fields)?;
        for part in text.split_inclusive(char::is_control) {
            let wild = part.chars().next_back().filter(|last| last.is_control());
            writer.write_str(wild.and_then(|wild| part.strip_suffix(wild)).unwrap_or(part))?;
            wild.map_or(Ok(()), |wild| write!(writer, "{}", wild.escape_default()))?;
        }
        Ok(())
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
    fn nobody_writes_lines_of_their_own() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let file = path.reopen().unwrap();
        let lines = tracing_subscriber::registry().with(fmt::layer().with_ansi(false).with_writer(file).fmt_fields(Tame));
        tracing::subscriber::with_default(lines, || {
            let reason = "x\n\n2026-01-01 forged\u{1b}[2J\u{9b}\u{e9}";
            tracing::info!(%reason, "gone\nfor good");
        });
        let logged = std::fs::read_to_string(path).unwrap();
        assert_eq!(logged.lines().count(), 1, "{logged}");
        assert!(logged.ends_with("gone\\nfor good reason=x\\n\\n2026-01-01 forged\\u{1b}[2J\\u{9b}\u{e9}\n"), "{logged}");
    }

    #[test]
    fn what_is_asked_for_is_logged() {
        let logs = |asked: &str, target: &str, level| wanted(asked).unwrap().would_enable(target, &level);
        assert!(logs("", "russh", Level::INFO) && !logs("", "russh", Level::DEBUG));
        assert!(logs("debug", "russh", Level::DEBUG) && !logs("debug", "russh", Level::TRACE));
        assert!(logs("warn,russh=trace", "russh::server", Level::TRACE) && !logs("warn,russh=trace", "hyper", Level::INFO));
        assert!(wanted("russh=loud").is_err());
    }
}

//! `drawbridge-daemon`: arguments, logs, signals, exit code.

use anyhow::Result;
use clap::Parser;
use drawbridge_daemon::{
    Daemon,
    cli::{Cli, Command},
    config::Raw,
    descriptors,
};
use drawbridge_shared::native::{
    doors::Passed,
    log,
    options::complain,
    runtime,
    signals::{HangUp, Tokens},
};
use std::process::ExitCode;

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: drawbridge_shared::native::allocator::Allocator = drawbridge_shared::native::allocator::Allocator;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Identity { state_dir } => identity(&state_dir),
        Command::Run(raw) => {
            let passed = Passed::from_env();
            runtime::of_daemon().map_err(Into::into).and_then(|runtime| runtime::run(runtime, run(*raw, passed)))
        }
    };
    done.map_or_else(|fault| complain("drawbridge-daemon", &fault), |()| ExitCode::SUCCESS)
}

fn identity(state_dir: &std::path::Path) -> Result<()> {
    println!("{}", drawbridge_daemon::identity(state_dir)?.to_line());
    Ok(())
}

async fn run(raw: Raw, passed: Passed) -> Result<()> {
    log::to_stderr(raw.log_format);
    descriptors::raise();
    let config = raw.check(std::env::var("DRAWBRIDGE_TOKEN").ok())?;
    let tokens = Tokens::default();
    let heeding = tokens.clone().heed(HangUp::Nothing)?;
    let daemon = Daemon::bind(config, passed, tokens).await?;
    tokio::select! {
        ran = daemon.run() => Ok(ran?),
        never = heeding => match never {},
    }
}

//! `drawbridge-agent`: arguments, logs, signals, exit code.

use anyhow::{Result, bail};
use clap::Parser;
use drawbridge_agent::{
    cli::{Cli, Command},
    config::Raw,
    init,
    ssh::{sftp, startup},
    status,
};
use drawbridge_shared::native::{
    descriptors, log,
    options::complain,
    runtime,
    signals::{HangUp, Tokens},
    slot,
};
use std::{ffi::OsString, path::Path, process::ExitCode};

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: drawbridge_shared::native::allocator::Allocator = drawbridge_shared::native::allocator::Allocator;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(raw) => match behind_init() {
            Some(ended) => return ended,
            None => runtime::of_agent().map_err(Into::into).and_then(|runtime| runtime::run(runtime, run(*raw))),
        },
        Command::Status { state_dir, json } => tell(&state_dir, json),
        Command::SftpServer => return sftp_server(),
        Command::StartUp { words } => return start_up(words),
    };
    done.map_or_else(|fault| complain("drawbridge-agent", &fault), |()| ExitCode::SUCCESS)
}

/// What the agent ended with, where this process is the first, and so not the agent. Without `/proc` it has to be both.
fn behind_init() -> Option<ExitCode> {
    let ended = init::is_first().then(init::run)?;
    ended.inspect_err(|fault| eprintln!("drawbridge-agent: nobody reaps those whose parents have ended: {fault}")).ok()
}

fn sftp_server() -> ExitCode {
    sftp::main().map_or_else(
        |fault| {
            eprintln!("sftp-server: {fault}");
            ExitCode::from(fault.status())
        },
        |()| ExitCode::SUCCESS,
    )
}

fn start_up(words: Vec<OsString>) -> ExitCode {
    eprintln!("{}", startup::main(words));
    ExitCode::FAILURE
}

fn tell(state_dir: &Path, json: bool) -> Result<()> {
    match status::read(state_dir)? {
        Some(report) if json => println!("{}", serde_json::to_string(&report)?),
        Some(report) => println!("{report}"),
        None => match slot::holder(state_dir) {
            Some(pid) => bail!(
                "process {pid} runs with {} and posts no status: it is not enrolled yet, on its way out, or cannot write there; its log says which",
                state_dir.display()
            ),
            None => bail!("no agent runs with {}", state_dir.display()),
        },
    }
    Ok(())
}

async fn run(raw: Raw) -> Result<()> {
    log::to_stderr(raw.log_format);
    descriptors::raise();
    // Sessions must not inherit the agent's credentials: the environment is cleared for them, and the token is taken
    // from ours only here.
    let config = raw.check(std::env::var("DRAWBRIDGE_TOKEN").ok())?;
    let tokens = Tokens::default();
    let heeding = tokens.clone().heed(HangUp::Stops)?;
    tokio::select! {
        served = drawbridge_agent::run(config, tokens) => Ok(served?),
        never = heeding => match never {},
    }
}

//! `drawbridge-agent`: arguments, logs, signals, exit code.

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use drawbridge_agent::{config::Raw, ssh::sftp, status};
use drawbridge_shared::native::{log, options::complain, runtime, signals::Tokens};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// musl's own gives every larger buffer back to the kernel and takes it again, for each packet.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs inside a workspace, dials out to its daemons and is its SSH server.
#[derive(Parser)]
#[command(version, after_help = EXAMPLE)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLE: &str = "Example:
  DRAWBRIDGE_TOKEN=dba_... drawbridge-agent run --edge https://keys.example.com \\
      --trust /etc/drawbridge/trust --state-dir ~/.local/state/drawbridge
  drawbridge-agent status --state-dir ~/.local/state/drawbridge

RUST_LOG sets the log level, for example RUST_LOG=debug.";

#[derive(Subcommand)]
enum Command {
    /// Serve this workspace until SIGTERM or Ctrl-C; where another process takes its place, until the last session has ended
    Run(Box<Raw>),
    /// Say whether the agent is up and through which daemons; exit code 1 where it is not
    Status {
        /// Folder that the agent runs with
        #[arg(long, env = "DRAWBRIDGE_STATE_DIR", value_name = "DIR")]
        state_dir: PathBuf,
        /// One JSON object instead of words
        #[arg(long)]
        json: bool,
    },
    /// Serve SFTP on standard input and output: the agent starts this for a session
    #[command(hide = true)]
    SftpServer,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(raw) => runtime::of_agent().map_err(Into::into).and_then(|runtime| runtime.block_on(run(*raw))),
        Command::Status { state_dir, json } => tell(&state_dir, json),
        Command::SftpServer => return sftp_server(),
    };
    done.map_or_else(|fault| complain("drawbridge-agent", &fault), |()| ExitCode::SUCCESS)
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

fn tell(state_dir: &Path, json: bool) -> Result<()> {
    match status::read(state_dir)? {
        Some(report) if json => println!("{}", serde_json::to_string(&report)?),
        Some(report) => println!("{report}"),
        None => bail!("no agent runs with {}", state_dir.display()),
    }
    Ok(())
}

async fn run(raw: Raw) -> Result<()> {
    log::to_stderr(raw.log_format);
    // Sessions must not inherit the agent's credentials: the environment is cleared for them, and the token is taken
    // from ours only here.
    let config = raw.check(std::env::var("DRAWBRIDGE_TOKEN").ok())?;
    let tokens = Tokens::default();
    let heeding = tokens.clone().heed()?;
    tokio::select! {
        served = drawbridge_agent::run(config, tokens) => Ok(served?),
        never = heeding => match never {},
    }
}

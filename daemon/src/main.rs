//! `drawbridge-daemon`: arguments, logs, signals, exit code.

use anyhow::Result;
use clap::{Parser, Subcommand};
use drawbridge_daemon::{Daemon, config::Raw, descriptors};
use drawbridge_shared::native::{doors::Passed, log, options::complain, runtime, signals::Tokens};
use std::{path::PathBuf, process::ExitCode};

/// musl's own gives every larger buffer back to the kernel and takes it again, for each packet.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Regional jump host: `ssh -J <this host> user@<workspaceId>`.
#[derive(Parser)]
#[command(version, after_help = EXAMPLE)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLE: &str = "Example:
  drawbridge-daemon identity --state-dir /var/lib/drawbridge
      prints the ssh-ed25519 line with which an operator registers this daemon at the edge
  drawbridge-daemon run --edge https://keys.example.com --token-file /etc/drawbridge/token \\
      --trust /etc/drawbridge/trust --state-dir /var/lib/drawbridge

RUST_LOG sets the log level, for example RUST_LOG=debug.";

#[derive(Subcommand)]
enum Command {
    /// Serve users and agents until SIGTERM or Ctrl-C
    Run(Box<Raw>),
    /// Print this daemon's public identity, which is made on first use
    Identity {
        /// Folder for this daemon's identity and the last good snapshot
        #[arg(long, env = "DRAWBRIDGE_STATE_DIR", value_name = "DIR")]
        state_dir: PathBuf,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Identity { state_dir } => identity(&state_dir),
        Command::Run(raw) => {
            let passed = Passed::from_env();
            runtime::of_daemon().map_err(Into::into).and_then(|runtime| runtime.block_on(run(*raw, passed)))
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
    let heeding = tokens.clone().heed()?;
    let daemon = Daemon::bind(config, passed, tokens).await?;
    tokio::select! {
        served = daemon.run() => Ok(served?),
        never = heeding => match never {},
    }
}

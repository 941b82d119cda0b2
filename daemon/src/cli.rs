//! The command line: what `--help`, the man pages and completions are made from.

use crate::config::Raw;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Regional jump host: `ssh -J <this host> user@<workspaceId>`.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLE)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLE: &str = "Example:
  drawbridge-daemon identity --state-dir /var/lib/drawbridge
      prints the ssh-ed25519 line with which an operator registers this daemon at the edge
  drawbridge-daemon run --edge https://keys.example.com --token-file /etc/drawbridge/token \\
      --trust /etc/drawbridge/trust --state-dir /var/lib/drawbridge

RUST_LOG sets the log level, for example RUST_LOG=debug.";

/// What may be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve users and agents until SIGTERM or Ctrl-C; SIGHUP has the audit trail look for its file
    Run(Box<Raw>),
    /// Print this daemon's public identity, which is made on first use
    Identity {
        /// Folder for this daemon's identity and the last good snapshot
        #[arg(long, env = "DRAWBRIDGE_STATE_DIR", value_name = "DIR")]
        state_dir: PathBuf,
    },
}

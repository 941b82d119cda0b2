//! The command line: what `--help`, the man pages and completions are made from.

use crate::config::Raw;
use clap::{Parser, Subcommand};
use std::{ffi::OsString, path::PathBuf};

/// Runs inside a workspace, dials out to its daemons and is its SSH server.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLE)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLE: &str = "Example:
  DRAWBRIDGE_TOKEN=dba_... drawbridge-agent run --edge https://keys.example.com \\
      --trust /etc/drawbridge/trust --state-dir ~/.local/state/drawbridge
  drawbridge-agent status --state-dir ~/.local/state/drawbridge

RUST_LOG sets the log level, for example RUST_LOG=debug.";

/// What may be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve this workspace until SIGTERM, SIGHUP or Ctrl-C; where another process takes its place, until the last session has ended
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
    /// Run a start-up script, then become a session's program: the agent starts this for a session
    #[command(hide = true)]
    StartUp {
        /// The shell, what it is asked, and the program with its name and arguments
        #[arg(required = true, num_args = 4.., trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
}

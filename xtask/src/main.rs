//! `cargo xtask`: the front door for developers.

use clap::{Parser, Subcommand};
use std::{ffi::OsString, process::ExitCode};
use xtask::{build, dev, lint, root, setup, test, wasm};

/// Build, run and check Drawbridge.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prepare this machine: wasm target and npm packages; the other commands do it too
    Setup,
    /// Build everything: the Worker (its size is printed), the daemon and the agent
    Build,
    /// Build only the Worker
    BuildEdge,
    /// Run the whole system here until Ctrl-C: the Worker under workerd, a daemon, two workspaces
    Dev(dev::Options),
    /// Run all tests, end to end included
    Test {
        /// Passed on to `cargo test`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Check format, lints, directions of dependency and licences
    Lint,
}

fn main() -> ExitCode {
    let root = root();
    let done = match Cli::parse().command {
        Command::Setup => setup::run(root).map(|()| ExitCode::SUCCESS),
        Command::Build => build::all(root).map(|_| ExitCode::SUCCESS),
        Command::BuildEdge => setup::run(root).and_then(|()| wasm::build(root)).map(|_| ExitCode::SUCCESS),
        Command::Dev(options) => dev::dev(root, options),
        Command::Test { arguments } => test::test(root, &arguments),
        Command::Lint => lint::lint(root),
    };
    done.unwrap_or_else(|fault| {
        eprintln!("error: {fault:#}");
        ExitCode::FAILURE
    })
}

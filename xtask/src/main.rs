//! `cargo xtask`: the front door for developers.

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};
use std::{ffi::OsString, process::ExitCode};
use xtask::{
    bench, build, conformance, dev, fuzz, fuzz_api, lint, manuals, openapi, readme, release, root, setup, soak, stack, test, wasm,
};

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
    /// Build the daemon and the agent as they are shipped, static, and print their sizes
    Release,
    /// Build only the Worker
    BuildEdge,
    /// Run the whole system here until Ctrl-C: the Worker under workerd, a daemon, two workspaces
    Dev(dev::Options),
    /// Write the API's OpenAPI document anew: edge/assets/api/openapi.json
    Openapi,
    /// Write man pages and shell completions of the daemon and the agent: target/manuals
    Manuals,
    /// Run all tests, end to end included
    Test {
        /// Passed on to `cargo test`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Measure, and write what was measured to bench/results
    Bench {
        /// What is measured
        #[arg(value_enum)]
        what: bench::What,
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
        /// Passed on to the benchmark, for example `-- --mib 64 --runs 2`
        #[arg(last = true)]
        more: Vec<OsString>,
    },
    /// Write README's table of figures anew, from what `bench ssh` left
    Readme,
    /// Run the conformance suite alone: OpenSSH's sshd and our agent under the same clients
    Conformance {
        /// Filters and options of the suite's runner
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Print a new token, for the secret that starts an edge
    Token {
        /// What its bearer may do
        #[arg(value_enum)]
        scope: TokenScope,
    },
    /// Feed libFuzzer's inputs to every format that strangers send
    Fuzz(fuzz::Options),
    /// Use and disturb the whole system for a while: at the end nothing may be left of it
    Soak {
        /// Options of the soak; `--help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Call the edge as its OpenAPI document says and as it does not, with every scope's token
    FuzzApi(fuzz_api::Options),
    /// Check format, lints, directions of dependency and licences
    Lint,
}

/// The one scope of which a token is not minted by the edge.
#[derive(Clone, Copy, ValueEnum)]
enum TokenScope {
    Operator,
}

fn print_token(scope: TokenScope) -> Result<ExitCode> {
    match scope {
        TokenScope::Operator => println!("{}", stack::operator_token()?),
    }
    Ok(ExitCode::SUCCESS)
}

fn main() -> ExitCode {
    let root = root();
    let done = match Cli::parse().command {
        Command::Setup => setup::run(root).map(|()| ExitCode::SUCCESS),
        Command::Build => build::all(root).map(|_| ExitCode::SUCCESS),
        Command::Release => release::release(root).map(|_| ExitCode::SUCCESS),
        Command::Openapi => openapi::write(root),
        Command::Manuals => manuals::write(root),
        Command::BuildEdge => setup::run(root).and_then(|()| wasm::build(root)).map(|_| ExitCode::SUCCESS),
        Command::Dev(options) => dev::dev(root, options),
        Command::Test { arguments } => test::test(root, &arguments),
        Command::Bench { what, json, more } => bench::bench(root, what, json, &more),
        Command::Readme => readme::write(root),
        Command::Conformance { arguments } => conformance::conformance(root, &arguments),
        Command::Token { scope } => print_token(scope),
        Command::Fuzz(options) => fuzz::fuzz(root, &options),
        Command::Soak { arguments } => soak::soak(root, &arguments),
        Command::FuzzApi(options) => fuzz_api::fuzz_api(root, &options),
        Command::Lint => lint::lint(root),
    };
    done.unwrap_or_else(|fault| {
        eprintln!("error: {fault:#}");
        ExitCode::FAILURE
    })
}

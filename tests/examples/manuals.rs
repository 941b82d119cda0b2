//! `cargo xtask manuals`: man pages and shell completions of both programs, from their command lines, into a folder.

use anyhow::{Context, Result};
use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate_to};
use std::{env, fs, path::PathBuf};

const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Fish, Shell::Zsh];

fn main() -> Result<()> {
    let dir = PathBuf::from(env::args_os().nth(1).context("name a folder")?);
    let [man, completions] = ["man1", "completions"].map(|part| dir.join(part));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    let programs = [
        ("drawbridge-daemon", drawbridge_daemon::cli::Cli::command()),
        ("drawbridge-agent", drawbridge_agent::cli::Cli::command()),
    ];
    for (name, program) in programs {
        let program: Command = program.name(name);
        for shell in SHELLS {
            generate_to(shell, &mut program.clone(), name, &completions)?;
        }
        clap_mangen::generate_to(program, &man)?;
    }
    Ok(())
}

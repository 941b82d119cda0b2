//! `cargo xtask dev`: the whole system, locally, until Ctrl-C or until one command has run in it.

use crate::{
    build, interrupt,
    stack::{JUMP, Stack, require_ours, require_plain},
};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

/// Between two looks at whether all parts still run.
const LOOK: Duration = Duration::from_millis(200);

/// Options of `dev`.
#[derive(Args, Debug)]
pub struct Options {
    /// Run this command in the first demo workspace through `ssh -J`, print its output and exit with its status
    #[arg(long, value_name = "COMMAND")]
    run: Option<String>,
    /// Folder for the stack's files, emptied first; another one lets two stacks run side by side [default: target/dev]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Brings the system up and stays with it.
pub fn dev(root: &Path, options: Options) -> Result<ExitCode> {
    let begun = Instant::now();
    let dir = std::path::absolute(options.dir.unwrap_or_else(|| build::target(root).join("dev")))?;
    require_plain(&dir)?;
    require_ours(&dir)?;
    let _lock = lock(&dir)?;
    let programs = build::all(root)?;
    interrupt::install()?;
    let mut stack = Stack::start(root, &dir, programs)?;
    stack.announce()?;
    match options.run {
        Some(command) => run(&stack, &command),
        None => {
            greet(&stack, begun.elapsed());
            interrupt::is_success();
            watch(&mut stack)
        }
    }
}

/// One stack a folder.
fn lock(dir: &Path) -> Result<File> {
    let mut name = dir.file_name().context("--dir: a folder with a name is needed")?.to_owned();
    name.push(".lock");
    let path = dir.with_file_name(name);
    fs::create_dir_all(dir.parent().unwrap_or(dir))?;
    let file = File::options().write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) => bail!("a stack runs in {} already: stop it first, or give another --dir", dir.display()),
    }
}

fn run(stack: &Stack, command: &str) -> Result<ExitCode> {
    let workspace = stack.workspaces.first().context("no workspace")?;
    let status = stack
        .user("alice")?
        .ssh()
        .args(["-o", "BatchMode=yes"])
        .arg(format!("user@ws-{}", workspace.id))
        .arg(command)
        .status()?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)))
}

fn greet(stack: &Stack, took: Duration) {
    println!("\nDrawbridge is up, {:.0} s after you asked. Paste this in another terminal:\n", took.as_secs_f32());
    if let (Some(user), Some(workspace)) = (stack.users.first(), stack.workspaces.first()) {
        println!("  ssh -F {} -J {JUMP} user@{}\n", user.ssh_config.display(), workspace.id);
    }
    println!("stack  {}", stack.dir().join("stack.json").display());
    println!("logs   {}", stack.dir().join("logs").display());
    println!("Ctrl-C stops everything.");
}

/// Tells of parts that end; a script may have meant it.
fn watch(stack: &mut Stack) -> ! {
    let mut told = Vec::new();
    loop {
        thread::sleep(LOOK);
        let parts = [("the edge".to_owned(), &mut stack.edge.process), ("the daemon".to_owned(), &mut stack.daemon.process)];
        let agents =
            stack.workspaces.iter_mut().map(|workspace| (format!("the agent of {}", workspace.id), &mut workspace.agent));
        for (name, process) in parts.into_iter().chain(agents) {
            if let (Some(status), false) = (process.ended(), told.contains(&name) || interrupt::has_come()) {
                println!("{name} ended: {status}");
                told.push(name);
            }
        }
    }
}

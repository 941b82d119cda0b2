//! A distribution's packages, unpacked in a folder instead of installed: nothing of the system changes.

use anyhow::{Context, Result, bail, ensure};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Unpacks `packages` below `tools/name`, once, and answers with that folder, which then looks like `/`.
pub(super) fn unpack(tools: &Path, name: &str, packages: &[&str]) -> Result<PathBuf> {
    let folder = tools.join(name);
    fs::create_dir_all(tools)?;
    let lock = File::create(tools.join(format!("{name}.lock")))?;
    lock.lock()?;
    if folder.is_dir() {
        return Ok(folder);
    }
    eprintln!("setup: unpacking {} under {} (nothing is installed) ...", packages.join(", "), tools.display());
    let draft = tools.join(format!("{name}.new"));
    fresh(&draft)?;
    for package in download(tools, &draft, packages)? {
        run(Command::new("dpkg").arg("-x").arg(&package).arg(&draft))?;
        fs::remove_file(package)?;
    }
    fs::rename(&draft, &folder)?;
    Ok(folder)
}

/// The folder of shared libraries below `folder`; the package's architecture names it.
pub(super) fn libraries(folder: &Path) -> Result<PathBuf> {
    let candidates = ["usr/lib", "lib"].map(|lib| folder.join(lib));
    let found = candidates.iter().filter_map(|lib| fs::read_dir(lib).ok()).flatten().flatten().map(|entry| entry.path());
    found.into_iter().find(|path| holds_library(path)).with_context(|| format!("no libraries in {}", folder.display()))
}

fn holds_library(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().contains(".so"))
}

/// The packages' files in `folder`; with lists of our own where the machine has none.
fn download(tools: &Path, folder: &Path, packages: &[&str]) -> Result<Vec<PathBuf>> {
    let mut apt = Command::new("apt-get");
    apt.current_dir(folder).args(["--quiet=2", "download"]).args(packages);
    if let Err(fault) = run(&mut apt) {
        eprintln!("setup: {fault:#}");
        eprintln!("setup: once more, with fresh package lists ...");
        let options = own_lists(&tools.join("apt"))?;
        run(Command::new("apt-get").args(&options).args(["--quiet=2", "update"]))?;
        run(Command::new("apt-get").current_dir(folder).args(&options).args(["--quiet=2", "download"]).args(packages))?;
    }
    let files: Vec<_> = fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    ensure!(files.len() == packages.len(), "asked for {packages:?}, got {files:?}");
    Ok(files)
}

/// Options that keep apt's state in `folder`, where everybody may write.
fn own_lists(folder: &Path) -> Result<[String; 2]> {
    for needed in ["state/lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(folder.join(needed))?;
    }
    let folder = folder.display();
    Ok([format!("-oDir::State::Lists={folder}/state/lists"), format!("-oDir::Cache={folder}/cache")])
}

fn fresh(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn run(command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("{:?} does not start", command.get_program()))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output)
}

//! A virtual environment for one requirements file, made once and again when the file changes.

use crate::setup;
use anyhow::{Context, Result, ensure};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Written last, into a complete environment.
const STAMP: &str = "drawbridge-stamp";

/// The Python interpreter that has what `requirements` names, by hash; its environment is `target/tools/<name>`.
pub fn environment(root: &Path, name: &str, requirements: &Path) -> Result<PathBuf> {
    let tools = super::folder(root);
    let folder = tools.join(name);
    let python = folder.join("bin/python");
    let wanted = setup::stamp_of(&fs::read(requirements).with_context(|| format!("cannot read {}", requirements.display()))?);
    fs::create_dir_all(&tools)?;
    let lock = File::create(tools.join(format!("{name}.lock")))?;
    lock.lock()?;
    if fs::read_to_string(folder.join(STAMP)).is_ok_and(|held| held == wanted) && starts(&python) {
        return Ok(python);
    }
    eprintln!("setup: {name}: a Python environment under {} (once) ...", tools.display());
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(&folder);
    run(&mut venv, "python3 with its venv module is needed, for example `apt-get install python3-venv`")?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--require-hashes"]);
    pip.args(["--only-binary", ":all:", "-r"]).arg(requirements);
    run(&mut pip, "the packages cannot be installed: is PyPI reachable?")?;
    fs::write(folder.join(STAMP), wanted)?;
    Ok(python)
}

/// An environment outlives the interpreter it was made for.
fn starts(python: &Path) -> bool {
    let check = Command::new(python).args(["-c", ""]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    check.is_ok_and(|status| status.success())
}

fn run(command: &mut Command, advice: &str) -> Result<()> {
    let output = command.output().with_context(|| advice.to_owned())?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{advice} ({command:?}: {})", said.trim());
    Ok(())
}

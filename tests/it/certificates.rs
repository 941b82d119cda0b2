//! Nothing is trusted on first use: one `@cert-authority` line knows the jump host and every workspace behind it.

use crate::{Run::Shared, Test};
use anyhow::{Context, Result, ensure};
use e2e::{SOON, Stack, User, within};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

pub(crate) const TESTS: &[Test] = &[("certificates::one_line_of_known_hosts_is_enough", Shared(one_line))];

/// The user's ssh_config with known_hosts of its own.
fn config(user: &User, folder: &Path, known_hosts: &str) -> Result<PathBuf> {
    let (config, known) = (folder.join("config"), folder.join("known_hosts"));
    let text = fs::read_to_string(&user.ssh_config)?;
    let lines = text.lines().filter(|line| !line.contains("UserKnownHostsFile"));
    let lines: String = lines.flat_map(|line| [line, "\n"]).collect();
    fs::write(&config, lines + &format!("  UserKnownHostsFile \"{}\"\n", known.display()))?;
    fs::write(known, known_hosts)?;
    Ok(config)
}

fn echo(config: &Path, target: &str) -> Result<Output> {
    let mut ssh = Command::new("ssh");
    ssh.arg("-F").arg(config).args(["-o", "BatchMode=yes", "-J", xtask::stack::JUMP, target, "echo in"]);
    Ok(ssh.output()?)
}

fn one_line(world: &Stack) -> Result<()> {
    let (user, folder) = (world.user("alice")?, tempfile::tempdir()?);
    let answer = world.api(user).get("/api/ssh/known_hosts")?;
    answer.ok()?;
    let line = answer.body.lines().find(|line| line.starts_with("@cert-authority")).context("no @cert-authority line")?;
    let config = config(user, folder.path(), &format!("{line}\n"))?;
    for target in ["user@796636", "user@ws-796636"] {
        let mut last = String::new();
        let entered = within(SOON, target, || {
            let output = echo(&config, target)?;
            last = String::from_utf8_lossy(&output.stderr).into_owned();
            Ok(output.stdout == b"in\n")
        });
        entered.with_context(|| last.clone())?;
    }
    fs::write(folder.path().join("known_hosts"), "")?;
    let output = echo(&config, "user@796636")?;
    ensure!(output.status.code() == Some(255), "without the line the host is unknown");
    Ok(())
}

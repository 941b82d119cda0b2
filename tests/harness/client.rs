//! The real `ssh` as a user runs it, and what came of it.

use anyhow::{Context, Result, bail, ensure};
use drawbridge_shared::key::UserKey;
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};
use xtask::stack::User;

/// What one command over ssh came to.
#[derive(Debug)]
pub struct Outcome {
    /// Exit status; 255 is ssh's own failure, absent is a signal.
    pub status: Option<i32>,
    /// Standard output.
    pub out: Vec<u8>,
    /// Standard error.
    pub err: String,
}

/// How a demo user reaches a workspace.
pub trait Session {
    /// Runs `command` in `target` and waits.
    fn run(&self, target: &str, command: &str) -> Result<Outcome>;
    /// The same with `input` as standard input.
    fn feed(&self, target: &str, command: &str, input: &Path) -> Result<Outcome>;
    /// The same with `input` written while output is read.
    fn converse(&self, target: &str, command: &str, input: Vec<u8>) -> Result<Outcome>;
    /// `ssh` up to the destination, asking nothing.
    fn quiet_ssh(&self) -> Command;
}

impl Session for User {
    fn run(&self, target: &str, command: &str) -> Result<Outcome> {
        outcome(self.quiet_ssh().arg("-n").arg(target).arg(command))
    }

    fn feed(&self, target: &str, command: &str, input: &Path) -> Result<Outcome> {
        outcome(self.quiet_ssh().arg(target).arg(command).stdin(File::open(input)?))
    }

    fn converse(&self, target: &str, command: &str, input: Vec<u8>) -> Result<Outcome> {
        let mut ssh = self.quiet_ssh();
        ssh.arg(target).arg(command).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = ssh.spawn().context("ssh does not start")?;
        let mut stdin = child.stdin.take().context("no stdin")?;
        let writer = thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output()?;
        ensure!(writer.join().is_ok_and(|written| written.is_ok()), "ssh did not take its input");
        Ok(output.into())
    }

    fn quiet_ssh(&self) -> Command {
        let mut ssh = self.ssh();
        ssh.args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=15"]);
        ssh
    }
}

/// Starts `ssh`, up to the destination, with a session that would go on for ever, and waits until it stands.
pub fn hold(ssh: &mut Command) -> Result<Child> {
    let ssh = ssh.arg("echo in; exec cat").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = ssh.spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().context("no output")?).read_line(&mut line)?;
    if line == "in\n" { Ok(child) } else { bail!("no session: {}", Outcome::from(child.wait_with_output()?).err) }
}

/// The fingerprint of `user`'s key, as logs and trails have it.
pub fn fingerprint(user: &User) -> Result<String> {
    let line = fs::read_to_string(user.key_file.with_extension("pub"))?;
    Ok(UserKey::parse(&line)?.fingerprint().to_string())
}

/// Runs `command` to its end.
pub fn outcome(command: &mut Command) -> Result<Outcome> {
    Ok(command.output().with_context(|| format!("cannot run {command:?}"))?.into())
}

impl From<std::process::Output> for Outcome {
    fn from(output: std::process::Output) -> Self {
        Self { status: output.status.code(), out: output.stdout, err: String::from_utf8_lossy(&output.stderr).into_owned() }
    }
}

impl Outcome {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    /// Fails unless the command printed exactly `text` and succeeded.
    pub fn printed(self, text: &str) -> Result<()> {
        ensure!(self.status == Some(0) && self.text() == text, "{self:?} is not {text:?}");
        Ok(())
    }

    /// Fails unless ssh itself failed and said `words`.
    pub fn refused(self, words: &str) -> Result<()> {
        ensure!(self.status == Some(255) && self.err.contains(words), "{self:?} is not refused with {words:?}");
        Ok(())
    }
}

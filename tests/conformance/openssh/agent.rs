//! The user's agent and display, forwarded by `ssh`.

use super::{Plain, connection::multiplexed};
use crate::{
    live::Live,
    run::{run, until},
    scene::Scene,
};
use anyhow::{Context, Result, ensure};
use std::{
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

pub(super) const CASES: &[Plain] =
    &[("forward::the_agent", agent), ("forward::the_agent_is_shared_and_removed", agent_removed), ("forward::x11", x11)];

/// An ssh-agent with one key; its socket.
struct Keyring {
    socket: PathBuf,
    agent: Child,
}

impl Keyring {
    fn start(scene: &Scene<'_>) -> Result<Self> {
        let socket = scene.path("keyring");
        let mut agent = Command::new("ssh-agent");
        let agent = agent.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn()?;
        let keyring = Self { socket, agent };
        until("the agent listens", || UnixStream::connect(&keyring.socket).is_ok())?;
        let key = xtask::stack::keygen(&scene.path("carried"), "carried")?;
        let added = run(Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &keyring.socket), &[])?;
        ensure!(added.status == Some(0), "{added:?}");
        Ok(keyring)
    }

    /// `ssh` that forwards it.
    fn ssh(&self, scene: &Scene<'_>) -> Command {
        let forward = format!("ForwardAgent={}", self.socket.display());
        let mut ssh = scene.ssh(&["-o", "IdentityAgent=SSH_AUTH_SOCK", "-o", &forward]);
        ssh.env("SSH_AUTH_SOCK", &self.socket);
        ssh
    }
}

impl Drop for Keyring {
    fn drop(&mut self) {
        let _gone = self.agent.kill();
        let _gone = self.agent.wait();
    }
}

fn agent(scene: &Scene<'_>) -> Result<()> {
    let keyring = Keyring::start(scene)?;
    let script = "ssh-add -l | cut -d' ' -f3-; stat -c '%a %U %F' \"$SSH_AUTH_SOCK\"; stat -c '%a %U' \"${SSH_AUTH_SOCK%/*}\"; \
                  echo ${SSH_AUTH_SOCK%%/ssh-*}";
    let outcome = run(keyring.ssh(scene).arg("-n").arg(script), &[])?;
    ensure!(outcome.out.starts_with(b"carried "), "the key is not there: {outcome:?}");
    scene.outcome("", &outcome);
    scene.observe("not asked for", scene.ssh(&["-n"]).arg("echo [$SSH_AUTH_SOCK]"))
}

/// One socket for the connection's life.
fn agent_removed(scene: &Scene<'_>) -> Result<()> {
    let keyring = Keyring::start(scene)?;
    let mut ssh = keyring.ssh(scene);
    let path = format!("ControlPath={}", scene.path("c").display());
    let mut first = Live::piped(ssh.args(["-o", &path, "-M", "echo $SSH_AUTH_SOCK; echo ready; cat"]))?;
    first.expect("ready")?;
    let printed = String::from_utf8(first.printed())?;
    let socket = PathBuf::from(printed.lines().next().context("no socket")?);
    ensure!(socket.exists(), "{} is not there", socket.display());
    let forward = format!("ForwardAgent={}", keyring.socket.display());
    let mut second = multiplexed(scene, &["-n", "-o", "IdentityAgent=SSH_AUTH_SOCK", "-o", &forward]);
    let second = run(second.env("SSH_AUTH_SOCK", &keyring.socket).arg("echo $SSH_AUTH_SOCK; ssh-add -l | wc -l"), &[])?;
    let second = String::from_utf8(second.out)?;
    scene.note("the same socket", second.lines().next() == Some(&*socket.display().to_string()));
    scene.note("keys", second.lines().nth(1).unwrap_or_default());
    first.close_input();
    first.end()?;
    until("the socket is removed", || !socket.exists())?;
    scene.note("its folder is there afterwards", socket.parent().is_some_and(Path::exists));
    Ok(())
}

/// No display is there to forward: what counts is that the session goes on.
fn x11(scene: &Scene<'_>) -> Result<()> {
    let mut ssh = scene.ssh(&["-n", "-X"]);
    let outcome = run(ssh.env("DISPLAY", "127.0.0.1:77").arg("echo ${DISPLAY:+set}; exit 3"), &[])?;
    scene.note("status", outcome.status.unwrap_or_default());
    scene.bytes("stdout", &outcome.out);
    Ok(())
}

//! One connection, many sessions; and who gets one at all.

use super::Plain;
use crate::{live::Live, run::run, scene::Scene, side::TARGET};
use anyhow::{Result, ensure};
use std::{process::Command, thread};

pub(super) const CASES: &[Plain] = &[
    ("connection::twenty_sessions_share_it", shared),
    ("connection::control_commands", control),
    ("connection::a_master_in_the_background", persistent),
    ("connection::nothing_but_the_connection", no_session),
    ("connection::keepalives_are_answered", keepalive),
    ("connection::a_wrong_key_is_refused", wrong_key),
    ("connection::passwords_are_refused", no_password),
    ("connection::ciphers_and_macs", algorithms),
];

/// `ssh` over the master at `scene`'s control socket, or becoming it.
pub(super) fn multiplexed(scene: &Scene<'_>, options: &[&str]) -> Command {
    let path = format!("ControlPath={}", scene.path("c").display());
    let mut ssh = scene.side.client("ssh");
    ssh.args(["-o", &path]).args(options).arg(TARGET);
    ssh
}

/// A master that lives until it is dropped.
pub(super) fn master(scene: &Scene<'_>) -> Result<Live> {
    let mut ssh = multiplexed(scene, &["-M"]);
    let master = Live::piped(ssh.arg("echo ready; cat"))?;
    master.expect("ready")?;
    Ok(master)
}

fn shared(scene: &Scene<'_>) -> Result<()> {
    let mut first = master(scene)?;
    let outcomes = thread::scope(|scope| {
        let session = |n: usize| {
            let mut ssh = multiplexed(scene, &["-n"]);
            ssh.arg(format!("sleep 0.3; seq 1 {}; echo err{n} >&2; exit {n}", n * 100));
            scope.spawn(move || run(&mut ssh, &[]))
        };
        let running: Vec<_> = (0..20).map(session).collect();
        running.into_iter().map(|one| one.join().map_err(|_| anyhow::anyhow!("it panicked"))?).collect::<Result<Vec<_>>>()
    })?;
    for (n, outcome) in outcomes.iter().enumerate() {
        scene.outcome(&n.to_string(), outcome);
    }
    first.close_input();
    scene.outcome("master", &first.end()?);
    Ok(())
}

fn control(scene: &Scene<'_>) -> Result<()> {
    let first = master(scene)?;
    let check = run(&mut multiplexed(scene, &["-O", "check"]), &[])?;
    ensure!(check.err.contains("Master running"), "{check:?}");
    scene.observe("session", multiplexed(scene, &["-n"]).arg("echo in"))?;
    scene.observe("exit", &mut multiplexed(scene, &["-O", "exit"]))?;
    scene.outcome("master", &first.end()?);
    scene.observe("check after", &mut multiplexed(scene, &["-O", "check"]))
}

fn persistent(scene: &Scene<'_>) -> Result<()> {
    let options = ["-n", "-o", "ControlMaster=auto", "-o", "ControlPersist=60"];
    for round in ["first", "second", "third"] {
        scene.observe(round, multiplexed(scene, &options).arg("echo in; exit 2"))?;
    }
    scene.observe("exit", &mut multiplexed(scene, &["-O", "exit"]))
}

/// `-N` asks for no session; the connection is there nevertheless.
fn no_session(scene: &Scene<'_>) -> Result<()> {
    let idle = Live::piped(&mut multiplexed(scene, &["-M", "-N"]))?;
    crate::run::until("the master is there", || scene.path("c").exists())?;
    scene.observe("beside", multiplexed(scene, &["-n"]).arg("echo beside"))?;
    scene.observe("exit", &mut multiplexed(scene, &["-O", "exit"]))?;
    scene.outcome("idle", &idle.end()?);
    Ok(())
}

fn keepalive(scene: &Scene<'_>) -> Result<()> {
    let options = ["-n", "-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2"];
    scene.observe("", scene.ssh(&options).arg("sleep 4; echo alive"))
}

fn wrong_key(scene: &Scene<'_>) -> Result<()> {
    let key = xtask::stack::keygen(&scene.path("stranger"), "stranger")?;
    let mut ssh = Command::new("ssh");
    let config = std::fs::read_to_string(&scene.side.config)?;
    // Only the target's own: the way to it is not what is tried here.
    let named =
        config.replacen(&format!("Host {TARGET}\n"), &format!("Host {TARGET}\n  IdentityFile \"{}\"\n", key.display()), 1);
    let own = named.replacen("  IdentityFile", "  PubkeyAuthentication no\n  IdentityFile", 1);
    ssh.arg("-F").arg(scene.file("config", own)?).args(["-n", TARGET, "echo in"]);
    let outcome = run(&mut ssh, &[])?;
    scene.note("status", outcome.status.unwrap_or_default());
    scene.note("refusal", outcome.err.trim().rsplit(": ").next().unwrap_or_default());
    Ok(())
}

fn no_password(scene: &Scene<'_>) -> Result<()> {
    let mut ssh = scene.ssh(&["-n", "-o", "PreferredAuthentications=password,keyboard-interactive"]);
    let outcome = run(ssh.arg("echo in"), &[])?;
    scene.note("status", outcome.status.unwrap_or_default());
    scene.note("refusal", outcome.err.trim().rsplit(": ").next().unwrap_or_default());
    Ok(())
}

/// What every OpenSSH since 2014 offers is enough.
fn algorithms(scene: &Scene<'_>) -> Result<()> {
    for cipher in
        ["chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "aes256-ctr", "aes128-ctr"]
    {
        scene.observe(cipher, scene.ssh(&["-n", "-c", cipher]).arg("echo in"))?;
    }
    for mac in ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512"] {
        scene.observe(mac, scene.ssh(&["-n", "-c", "aes256-ctr", "-m", mac]).arg("echo in"))?;
    }
    for kex in ["curve25519-sha256", "curve25519-sha256@libssh.org"] {
        scene.observe(kex, scene.ssh(&["-n", "-o", &format!("KexAlgorithms={kex}")]).arg("echo in"))?;
    }
    Ok(())
}

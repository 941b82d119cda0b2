//! A login has ten seconds from the first packet of TCP until keys are exchanged, wherever it stops; then it has a person's time.

use crate::{
    Run::{Patient, Shared},
    Test,
};
use anyhow::{Result, ensure};
use e2e::Stack;
use serde_json::json;
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    process::Command,
    thread,
    time::{Duration, Instant},
};

pub(crate) const TESTS: &[Test] = &[
    ("deadline::a_login_ends_in_time_wherever_it_stops", Shared(half_open)),
    ("deadline::somebody_who_types_slowly_gets_in", Patient(typist)),
];

/// Around the ten seconds that are promised: a loaded machine is late.
const PROMISED: [Duration; 2] = [Duration::from_secs(8), Duration::from_secs(25)];

/// Longer than the daemon waits for a machine, or until it asks one who is in for a sign of life.
const TYPES: Duration = Duration::from_secs(33);

const IDENTIFICATION: &[u8] = b"SSH-2.0-half-open\r\n";

fn half_open(world: &Stack) -> Result<()> {
    let kexinit = [IDENTIFICATION, &kexinit()].concat();
    let first_bytes: [&[u8]; 5] = [b"", b"SSH-2.0-", IDENTIFICATION, &kexinit[..IDENTIFICATION.len() + 9], &kexinit];
    let lasted = thread::scope(|scope| {
        let calls = first_bytes.map(|bytes| scope.spawn(move || lasts(world.daemon.port, bytes)));
        calls.map(|call| call.join().unwrap_or_else(|_| anyhow::bail!("it panicked")))
    });
    for (stage, lasted) in lasted.into_iter().enumerate() {
        let lasted = lasted?;
        ensure!((PROMISED[0]..PROMISED[1]).contains(&lasted), "stage {stage} lasted {lasted:?}");
    }
    Ok(())
}

/// How long the daemon keeps a connection on which only `bytes` come.
fn lasts(port: u16, bytes: &[u8]) -> Result<Duration> {
    let begun = Instant::now();
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(PROMISED[1]))?;
    socket.write_all(bytes)?;
    // However it ends, by a close or a reset, it ended.
    let _ = socket.read_to_end(&mut Vec::new());
    Ok(begun.elapsed())
}

/// RFC 4253 section 7.1: what a client says that then says no more.
fn kexinit() -> Vec<u8> {
    let lists =
        ["curve25519-sha256", "ssh-ed25519", "aes128-ctr", "aes128-ctr", "hmac-sha2-256", "hmac-sha2-256", "none", "none"];
    let mut payload = [&[20][..], &[7; 16]].concat();
    for list in lists.into_iter().chain(["", ""]) {
        payload.extend((list.len() as u32).to_be_bytes());
        payload.extend(list.as_bytes());
    }
    payload.extend([0; 5]);
    let padding = 8 - (payload.len() + 5) % 8 + 8;
    let length = (payload.len() + 1 + padding) as u32;
    [&length.to_be_bytes()[..], &[padding as u8], &payload, &vec![0; padding]].concat()
}

/// Types a passphrase for longer than a machine has, for each of the hops.
fn typist(world: &Stack) -> Result<()> {
    let user = world.new_user("typist")?;
    world.edge.operator().put("/api/operator/workspaces/lighthouse/members/typist", &json!({}))?.ok()?;
    let set =
        Command::new("ssh-keygen").args(["-q", "-p", "-P", "", "-N", "slow and steady", "-f"]).arg(&user.key_file).status()?;
    ensure!(set.success());
    let asked = user.key_file.with_extension("asked");
    fs::write(&asked, format!("#!/bin/sh\nsleep {}\necho slow and steady\n", TYPES.as_secs()))?;
    fs::set_permissions(&asked, fs::Permissions::from_mode(0o700))?;
    let mut ssh = user.ssh();
    ssh.env("SSH_ASKPASS", &asked).env("SSH_ASKPASS_REQUIRE", "force").env("DISPLAY", "none");
    let said = ssh.args(["-n", "user@ws-lighthouse", "echo in"]).output()?;
    ensure!(said.status.success() && said.stdout == b"in\n", "{said:?}");
    Ok(())
}

//! ssh-audit finds nothing at either SSH server but what is listed here with its reason.

use crate::{Run::Shared, Test};
use anyhow::{Context, Result, bail, ensure};
use e2e::{SOON, Stack, raw::is_ours, within};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};
use xtask::{root, tools::python, whole};

pub(crate) const TESTS: &[Test] =
    &[("ssh_audit::finds_nothing_at_the_jump_host", Shared(jump)), ("ssh_audit::finds_nothing_at_the_agent", Shared(agent))];

/// What it says, and why that stays.
const KNOWN: &[(&str, &str)] = &[
    ("kex curve25519-sha256: does not provide protection against post-quantum attacks", YOUNG),
    ("kex curve25519-sha256@libssh.org: does not provide protection against post-quantum attacks", YOUNG),
    ("kex diffie-hellman-group16-sha512: does not provide protection against post-quantum attacks", NO_CURVES),
    ("kex diffie-hellman-group18-sha512: does not provide protection against post-quantum attacks", NO_CURVES),
    ("mac hmac-sha2-256: using encrypt-and-MAC mode", NO_ETM),
    ("mac hmac-sha2-512: using encrypt-and-MAC mode", NO_ETM),
];
const YOUNG: &str =
    "ML-KEM comes first, and OpenSSH has it since 9.9 only: clients before it would have nothing in common with us";
const NO_CURVES: &str = "clients that may use no Curve25519, as those that go by FIPS 140-2, have nothing else";
const NO_ETM: &str =
    "libssh2 before 1.11 has nothing else; it is for AES-CTR, which comes last, and SSH's use of it has no known attack";
/// Somebody may take a port between our look and ssh's.
const TRIES: usize = 8;

fn jump(world: &Stack) -> Result<()> {
    clean(world.daemon.port)
}

/// Through the jump host, for ssh-audit knows no other way than a port.
fn agent(world: &Stack) -> Result<()> {
    let way = Way::to(world, "796636")?;
    clean(way.port)
}

/// Neither more than is known nor less: an entry that is not needed any more is to go.
fn clean(port: u16) -> Result<()> {
    let found = audit(port)?;
    let known: BTreeSet<_> = KNOWN.iter().map(|(finding, _)| (*finding).to_owned()).collect();
    ensure!(found == known, "not listed: {:#?}\nlisted and not found: {:#?}", &found - &known, &known - &found);
    Ok(())
}

/// Each of its warnings and failures, as `kind algorithm: words`.
fn audit(port: u16) -> Result<BTreeSet<String>> {
    let requirements = root().join("tests/it/gate/ssh_audit_requirements.txt");
    let mut audit = Command::new(whole::needed(python::environment(root(), "ssh-audit", &requirements))?);
    // What it would find by many connections at once is not for a system that other tests use too.
    audit.args(["-m", "ssh_audit.ssh_audit", "--json", "--skip-rate-test", "-p", &port.to_string(), "127.0.0.1"]);
    let output = audit.output()?;
    let report: Value = serde_json::from_slice(&output.stdout).with_context(|| format!("no report: {output:?}"))?;
    let mut found = BTreeSet::new();
    for kind in ["kex", "key", "enc", "mac"] {
        let algorithms =
            report[kind].as_array().filter(|list| !list.is_empty()).with_context(|| format!("no {kind} in {report}"))?;
        for algorithm in algorithms {
            let words = ["fail", "warn"].into_iter().filter_map(|level| algorithm["notes"][level].as_array()).flatten();
            found.extend(words.map(|words| format!("{kind} {}: {}", text(&algorithm["algorithm"]), text(words))));
        }
    }
    let known = report["cves"].as_array().into_iter().flatten();
    found.extend(known.map(|known| format!("cve: {known}")));
    ensure!(is_ours(text(&report["banner"]["raw"])), "{}", report["banner"]);
    Ok(found)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A port of this machine that leads to a workspace's SSH server.
struct Way {
    ssh: Child,
    port: u16,
}

impl Way {
    fn to(world: &Stack, workspace: &str) -> Result<Self> {
        for _ in 0..TRIES {
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            let mut ssh = Command::new("ssh");
            ssh.arg("-F").arg(&world.user("alice")?.ssh_config).args(["-n", "-N", "-o", "BatchMode=yes"]);
            ssh.args(["-o", "ExitOnForwardFailure=yes", "-L", &format!("127.0.0.1:{port}:{workspace}:22"), xtask::stack::JUMP]);
            let mut way = Self { ssh: ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?, port };
            let mut ended = false;
            within(SOON, "a way to the workspace", || {
                ended = way.ssh.try_wait()?.is_some();
                Ok(ended || TcpStream::connect(("127.0.0.1", port)).is_ok())
            })?;
            if !ended {
                return Ok(way);
            }
        }
        bail!("no port is free")
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        // Fails only when it has ended.
        let _ = self.ssh.kill();
        let _ = self.ssh.wait();
    }
}

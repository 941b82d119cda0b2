//! Whatever a target is spelled like, the daemon dials nothing: a target is a workspace's name, never an address.

use crate::{Run::Shared, Test};
use anyhow::{Context, Result, ensure};
use e2e::{
    Stack,
    client::outcome,
    raw::{Heard, Raw, message, number},
};
use ssh_key::PrivateKey;
use std::{fs, io::ErrorKind, net::TcpListener, process::Command, thread};

pub(crate) const TESTS: &[Test] = &[
    ("targets::no_spelling_of_an_address_is_dialled", Shared(spellings)),
    ("targets::nor_is_one_of_ssh_itself", Shared(through_ssh)),
];

/// Where the bytes of one of them are listened for beside free ports; somebody else may hold them.
const NAMED_PORTS: &[u16] = &[22, 80, 2375];

const LOOPBACK: &[&str] = &[
    "localhost",
    "LOCALHOST",
    "localhost.",
    "localhost.localdomain",
    "ip6-localhost",
    "localhost.local.drawbridge.test",
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "127.000.000.001",
    "127.0.0.01",
    "0177.0.0.1",
    "0x7f.0.0.1",
    "0x7F000001",
    "0x7f.1",
    "017700000001",
    "2130706433",
    "4294967295",
    "18446744073709551616",
    "0",
    "0.0.0.0",
    "0x0",
    "255.255.255.255",
    "::",
    "[::]",
    "::1",
    "[::1]",
    "0:0:0:0:0:0:0:1",
    "::ffff:127.0.0.1",
    "[::ffff:127.0.0.1]",
    "::ffff:7f00:1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "fe80::1%lo",
    "[fe80::1%25lo]",
    "127.0.0.1.local.drawbridge.test",
    "ws-127.0.0.1",
    "127-0-0-1",
    "127.0.0.1.nip.io",
];
const PRIVATE: &[&str] = &[
    "169.254.169.254",
    "169.254.169.254.",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "[::ffff:169.254.169.254]",
    "::ffff:a9fe:a9fe",
    "169.254.169.254.nip.io",
    "metadata",
    "metadata.google.internal",
    "instance-data.ec2.internal",
    "fd00:ec2::254",
    "100.100.100.200",
    "168.63.129.16",
    "10.0.0.1",
    "10.1",
    "192.168.0.1",
    "172.16.0.1",
    "kubernetes.default.svc",
];
const CROOKED: &[&str] = &[
    "",
    ".",
    "..",
    "*",
    "127.0.0.1:22",
    "127.0.0.1 22",
    " 127.0.0.1",
    "127.0.0.1\t",
    "root@127.0.0.1",
    "796636@127.0.0.1",
    "http://127.0.0.1/",
    "//127.0.0.1",
    "127.0.0.1#796636",
    "127.0.0.1/796636",
    "127.0.0.1,796636",
    "796636.evil.example",
    "796636.local.drawbridge.test.evil.example",
    "127.0.0.1\0",
    "796636\0",
    "127.0.0.1\0.local.drawbridge.test",
    "796636\x00127.0.0.1",
    "127.0.0.1\r\n",
    "796636\r\nHost: 127.0.0.1",
    "\n",
    "\u{1b}[2J127.0.0.1",
    "１２７.０.０.１",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "l\u{43e}calhost",
    "localhost\u{200b}",
    "\u{202e}1.0.0.721",
    "xn--lcalhost-n8a",
    "%6cocalhost",
    "127%2e0%2e0%2e1",
    "/var/run/docker.sock",
    "unix:/var/run/docker.sock",
    "-oProxyCommand=id",
    "$(id)",
    "`id`",
    "${jndi:ldap://127.0.0.1/}",
    "%h",
];

/// Each with and without something that is not just long.
fn long() -> Vec<String> {
    let many = 30_000;
    vec!["a".repeat(many), "1".repeat(many), format!("127.0.0.1{}", ".".repeat(many)), format!("{}127.0.0.1", "0".repeat(many))]
}

fn all() -> Vec<String> {
    let listed = [LOOPBACK, PRIVATE, CROOKED].concat();
    listed.into_iter().map(str::to_owned).chain(long()).collect()
}

/// Listeners that nobody may call.
struct Canaries(Vec<TcpListener>);

impl Canaries {
    fn new() -> Result<Self> {
        let free = ["127.0.0.1:0", "[::1]:0"].into_iter().filter_map(|address| TcpListener::bind(address).ok());
        let named = NAMED_PORTS.iter().flat_map(|port| [format!("127.0.0.1:{port}"), format!("[::1]:{port}")]);
        let listeners: Vec<_> = free.chain(named.filter_map(|address| TcpListener::bind(address).ok())).collect();
        ensure!(!listeners.is_empty(), "nothing can be listened on");
        listeners.iter().try_for_each(|listener| listener.set_nonblocking(true))?;
        Ok(Self(listeners))
    }

    /// A port that certainly is listened on.
    fn port(&self) -> Result<u16> {
        Ok(self.0.first().context("no canary")?.local_addr()?.port())
    }

    fn are_alive(&self) -> Result<()> {
        for canary in &self.0 {
            let called = canary.accept();
            ensure!(called.as_ref().is_err_and(|fault| fault.kind() == ErrorKind::WouldBlock), "somebody called: {called:?}");
        }
        Ok(())
    }
}

fn spellings(world: &Stack) -> Result<()> {
    let (canaries, spellings) = (Canaries::new()?, all());
    ensure!(spellings.len() >= 60);
    let key = PrivateKey::from_openssh(fs::read_to_string(&world.user("alice")?.key_file)?)?;
    let mut raw = Raw::connect(([127, 0, 0, 1], world.daemon.port).into())?;
    raw.log_in("alice", &key)?;
    let ports = [22, u32::from(canaries.port()?), 0, u32::MAX];
    for (n, (host, port)) in spellings.iter().flat_map(|host| ports.map(|port| (host, port))).enumerate() {
        raw.send(message::direct(n as u32, host, port))?;
        let refused = message::failure(&raw.expect(number::CHANNEL_OPEN_FAILURE)?)?;
        let shown: String = host.escape_debug().take(80).collect();
        ensure!((refused.0, refused.1) == (n as u32, 1) && is_refusal(&refused.2, port), "{shown}:{port}: {refused:?}");
    }
    canaries.are_alive()?;
    let ours = 1 << 20;
    raw.send(message::direct(ours, "796636", 22))?;
    message::theirs(&raw.expect(number::CHANNEL_OPEN_CONFIRMATION)?, ours)?;
    let Heard::Packet(data) = raw.hear()? else { anyhow::bail!("the workspace says nothing") };
    ensure!(message::slice_at(&data, 5)?.starts_with(b"SSH-2.0-OpenSSH_9.2 Drawbridge_"), "{data:?}");
    Ok(())
}

/// What users hear, which tells a name from a stranger's workspace and nothing else.
fn is_refusal(words: &str, port: u32) -> bool {
    let stranger = "for this key: it does not exist, or you are not a member of it";
    let name = "a target is a workspace id, with or without 'ws-' in front and the region's domain behind";
    match port {
        22 => words == name || words.starts_with("no workspace ") && words.ends_with(stranger) && words.len() < 160,
        _ => words == "only port 22 leads to a workspace",
    }
}

/// OpenSSH passes on what its user types, an address that it knows how to spell otherwise excepted.
fn through_ssh(world: &Stack) -> Result<()> {
    let canaries = Canaries::new()?;
    let config = &world.user("alice")?.ssh_config;
    let port = canaries.port()?;
    let hosts =
        ["localhost", "127.1", "0x7f000001", "017700000001", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "2852039166"];
    let targets = hosts.iter().flat_map(|host| [format!("{host}:22"), format!("{host}:{port}")]);
    let tries: Vec<_> = targets
        .map(|target| {
            let mut ssh = Command::new("ssh");
            ssh.arg("-F").arg(config).args(["-n", "-o", "BatchMode=yes", "-W", &target, xtask::stack::JUMP]);
            thread::spawn(move || outcome(&mut ssh).map(|outcome| (target, outcome)))
        })
        .collect();
    for tried in tries {
        let (target, outcome) = tried.join().map_err(|_| anyhow::anyhow!("no outcome"))??;
        let words = ["no workspace ", "a target is a workspace id", "only port 22 leads to a workspace"];
        let said = words.iter().any(|words| outcome.err.contains(words));
        ensure!(outcome.status == Some(255) && outcome.out.is_empty() && said, "{target}: {outcome:?}");
    }
    canaries.are_alive()
}

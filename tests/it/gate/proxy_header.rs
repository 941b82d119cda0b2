//! Behind a balancer that speaks the PROXY protocol all see the real address; nobody else may claim one.

use super::scene::{NOWHERE, Scene, call};
use crate::{Run::Shared, Test};
use anyhow::{Context, Result, ensure};
use e2e::{
    SOON, Stack,
    aside::{Aside, runtime},
    within,
};
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, SocketAddrV4, TcpStream},
};
use tokio::{io::AsyncWriteExt, net::TcpListener, task::JoinSet};

pub(crate) const TESTS: &[Test] = &[
    ("proxy_header::all_see_the_address_that_it_names", Shared(real_address)),
    ("proxy_header::limits_are_those_of_the_address_that_it_names", Shared(limits)),
    ("proxy_header::a_balancer_has_to_send_one_and_nobody_else_may", Shared(who_may)),
];

/// The daemon believes a balancer at 127.0.0.1, and nobody else.
const BALANCED: [&str; 2] = ["--proxy-protocol-from", "127.0.0.1"];
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Before anything of SSH.
const IDENTIFICATION: &str = "SSH-2.0-Drawbridge_";

/// A balancer that says of all its callers that they come from one address, with an extension behind it.
struct Balancer {
    address: SocketAddr,
    _runs: Aside,
}

impl Balancer {
    fn start(door: SocketAddr, client: &str) -> Result<Self> {
        let (runtime, header) = (runtime()?, header(client)?);
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let runs = Aside::start("balancer", runtime, move |stop| async move {
            stop.run_until_cancelled(balance(listener, door, header)).await;
        })?;
        Ok(Self { address, _runs: runs })
    }

    /// Options of `ssh` that lead to the scene's jump host through it.
    fn way(&self, scene: &Scene) -> String {
        let known = scene.door();
        format!("-p {} -o HostKeyAlias=[{}]:{}", self.address.port(), known.ip(), known.port())
    }
}

async fn balance(listener: TcpListener, door: SocketAddr, header: Vec<u8>) {
    let mut flows = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        let header = header.clone();
        flows.spawn(async move {
            let mut far = tokio::net::TcpStream::connect(door).await?;
            far.write_all(&header).await?;
            tokio::io::copy_bidirectional(&mut near, &mut far).await
        });
        while flows.try_join_next().is_some() {}
    }
}

/// `client` as the source of a TCP connection over IPv4.
fn header(client: &str) -> Result<Vec<u8>> {
    let client: SocketAddrV4 = client.parse()?;
    let addresses = [&client.ip().octets()[..], &[203, 0, 113, 1], &client.port().to_be_bytes(), &[0, 22]].concat();
    let extension = b"\x04\0\x05noise";
    let length = (addresses.len() + extension.len()) as u16;
    Ok([SIGNATURE, b"\x21\x11", &length.to_be_bytes(), &addresses, extension].concat())
}

/// What the daemon says first to whoever sends `bytes`, until it waits or closes.
fn answer(door: SocketAddr, bytes: &[u8]) -> Result<String> {
    let mut socket = TcpStream::connect(door)?;
    socket.set_read_timeout(Some(SOON))?;
    socket.write_all(bytes)?;
    let mut heard = Vec::new();
    let mut byte = [0];
    while !heard.ends_with(b"\n") && socket.read(&mut byte)? == 1 {
        heard.extend(byte);
    }
    Ok(String::from_utf8(heard)?)
}

fn real_address(world: &Stack) -> Result<()> {
    let scene = Scene::new(world, "balanced", &BALANCED)?;
    let balancer = Balancer::start(scene.door(), "198.51.100.77:4711")?;
    let entered = scene.run(&balancer.way(&scene), "echo $SSH_CLIENT")?;
    ensure!(entered.status == Some(0) && entered.text().starts_with("198.51.100.77 4711 "), "{entered:?}");
    let told = |event: &str| {
        let trail = fs::read_to_string(&scene.region.daemon.audit)?;
        let line = trail.lines().find(|line| line.contains(&format!("\"event\":\"{event}\"")));
        let line: serde_json::Value = serde_json::from_str(line.context("it is not told")?)?;
        ensure!(line["source"] == "198.51.100.77:4711", "{line}");
        Ok(())
    };
    ["login", "open"].into_iter().try_for_each(told)
}

fn limits(world: &Stack) -> Result<()> {
    let options = [&BALANCED[..], &NOWHERE, &["--max-startups-per-source", "1"]].concat();
    let scene = Scene::new(world, "rationed", &options)?;
    let door = scene.door();
    let mut held = TcpStream::connect(door)?;
    held.write_all(&header("198.51.100.1:1")?)?;
    let busy = "your address has too many logins under way here";
    within(SOON, "the place is taken", || Ok(answer(door, &header("198.51.100.1:2")?)?.starts_with(busy)))?;
    ensure!(answer(door, &header("198.51.100.2:2")?)?.starts_with(IDENTIFICATION), "others have places of their own");
    drop(held);
    within(SOON, "the place is free", || Ok(answer(door, &header("198.51.100.1:3")?)?.starts_with(IDENTIFICATION)))
}

fn who_may(world: &Stack) -> Result<()> {
    let scene = Scene::new(world, "doubtful", &BALANCED)?;
    let door = scene.door();
    let plain = call(&scene.user, "127.0.0.1")?;
    ensure!(
        plain.status == Some(255) && plain.err.contains("a PROXY protocol header (version 2) has to come first"),
        "{plain:?}"
    );
    scene.enter("-b 127.0.0.2")?.printed("in\n")?;
    let long = [SIGNATURE, b"\x21\x11\xff\xff", &[0; 4000]].concat();
    for bytes in [&b"PROXY TCP4 198.51.100.1 203.0.113.1 1 22\r\n"[..], &long, &[SIGNATURE, b"\x21\x12\0\x0c", &[9; 12]].concat()]
    {
        // Unread bytes may turn the close into a reset, before the words or after.
        let heard = answer(door, bytes).unwrap_or_default();
        ensure!(!heard.starts_with(IDENTIFICATION), "{bytes:?} was taken: {heard}");
    }
    ensure!(answer(door, &[SIGNATURE, b"\x20\0\0\0"].concat())?.starts_with(IDENTIFICATION), "a balancer may look");
    let before = scene.dropped("violation")?;
    stranger(door)?;
    within(SOON, "it is no identification", || Ok(scene.dropped("violation")? > before))
}

/// Somebody who is no balancer and claims an address.
fn stranger(door: SocketAddr) -> Result<()> {
    let runtime = runtime()?;
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind("127.0.0.2:0".parse()?)?;
        let mut socket = socket.connect(door).await?;
        let claim = [&header("198.51.100.1:1")?[..], b"SSH-2.0-x\r\n"].concat();
        socket.write_all(&claim).await?;
        // However it ends, it ends.
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut socket, &mut Vec::new()).await;
        Ok(())
    })
}

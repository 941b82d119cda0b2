//! Ports, sockets and the user's agent, forwarded by `ssh`.

use super::{
    Plain,
    connection::{master, multiplexed},
};
use crate::{
    run::{PATIENCE, noise, run},
    scene::Scene,
    side::TARGET,
};
use anyhow::{Result, ensure};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    thread,
};

pub(super) const CASES: &[Plain] = &[
    ("forward::local_port", local),
    ("forward::local_port_large_and_half_closed", half_closed),
    ("forward::refused_connects", refused),
    ("forward::local_socket", local_socket),
    ("forward::a_socket_that_is_not_there", no_socket),
    ("forward::dynamic", dynamic),
    ("forward::standard_streams", standard_streams),
    ("forward::many_at_once", many),
];

/// Greets each caller, and gives back in capitals what it says until its end of file.
pub(crate) fn shouter() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || listener.incoming().flatten().for_each(|caller| drop(thread::spawn(move || shout(caller)))));
    Ok(port)
}

fn shout(mut caller: impl Read + Write) -> std::io::Result<()> {
    caller.write_all(b"hello ")?;
    let mut said = Vec::new();
    caller.read_to_end(&mut said)?;
    caller.write_all(&said.to_ascii_uppercase())
}

/// What comes back for `said`.
pub(super) fn call(port: u16, said: &[u8]) -> Result<Vec<u8>> {
    let stream = connect(port)?;
    converse(stream.try_clone()?, said, || stream.shutdown(Shutdown::Write))
}

/// A connection that waits for nothing longer than the suite does.
pub(crate) fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

pub(super) fn call_socket(path: &Path, said: &[u8]) -> Result<Vec<u8>> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    converse(stream.try_clone()?, said, || stream.shutdown(Shutdown::Write))
}

fn converse(mut stream: impl Read + Write, said: &[u8], end: impl FnOnce() -> std::io::Result<()>) -> Result<Vec<u8>> {
    stream.write_all(said)?;
    end()?;
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard)?;
    Ok(heard)
}

pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Asks the master for one more forward, notes what was answered, and says what was printed.
pub(super) fn ask(scene: &Scene<'_>, name: &str, options: &[&str]) -> Result<String> {
    let mut arguments = vec!["-O"];
    arguments.extend(options);
    let outcome = run(&mut multiplexed(scene, &arguments), &[])?;
    let printed = String::from_utf8_lossy(&outcome.out).trim().to_owned();
    if let Ok(port) = printed.parse::<u16>() {
        scene.hide(port, "<chosen port>");
    }
    scene.outcome(name, &outcome);
    Ok(printed)
}

/// A local port that leads to `target` at the server.
fn lead_to(scene: &Scene<'_>, target: &str) -> Result<u16> {
    let port = free_port()?;
    scene.hide(port, "<local port>");
    ask(scene, "forward", &["forward", "-L", &format!("127.0.0.1:{port}:{target}")])?;
    Ok(port)
}

fn local(scene: &Scene<'_>) -> Result<()> {
    let _master = master(scene)?;
    let shouter = shouter()?;
    for host in ["127.0.0.1", "localhost"] {
        let port = lead_to(scene, &format!("{host}:{shouter}"))?;
        scene.bytes(host, &call(port, b"said")?);
    }
    Ok(())
}

fn half_closed(scene: &Scene<'_>) -> Result<()> {
    let _master = master(scene)?;
    let port = lead_to(scene, &format!("127.0.0.1:{}", shouter()?))?;
    let said = noise(2 << 20);
    let stream = connect(port)?;
    let heard = converse(stream.try_clone()?, &said, || stream.shutdown(Shutdown::Write))?;
    scene.note("heard", heard.strip_prefix(b"hello ") == Some(&said.to_ascii_uppercase()));
    Ok(())
}

/// What the client is told, which it prints at its own end.
fn refused(scene: &Scene<'_>) -> Result<()> {
    let nobody = free_port()?;
    scene.hide(nobody, "<port>");
    for (name, target) in [
        ("nobody listens", format!("127.0.0.1:{nobody}")),
        ("no such name", "no-such-host.invalid:80".into()),
        ("port 0", "127.0.0.1:0".into()),
    ] {
        let mut ssh = scene.side.client("ssh");
        scene.observe(name, ssh.args(["-W", &target, TARGET]))?;
    }
    Ok(())
}

fn socket_shouter(scene: &Scene<'_>) -> Result<PathBuf> {
    let path = scene.path("shouter");
    let listener = UnixListener::bind(&path)?;
    thread::spawn(move || listener.incoming().flatten().for_each(|caller| drop(thread::spawn(move || shout(caller)))));
    Ok(path)
}

fn local_socket(scene: &Scene<'_>) -> Result<()> {
    let _master = master(scene)?;
    let far = socket_shouter(scene)?;
    let port = lead_to(scene, &far.display().to_string())?;
    scene.bytes("through a port", &call(port, b"said")?);
    let near = scene.path("near");
    ask(scene, "forward a socket", &["forward", "-L", &format!("{}:{}", near.display(), far.display())])?;
    scene.bytes("through a socket", &call_socket(&near, b"said")?);
    Ok(())
}

fn no_socket(scene: &Scene<'_>) -> Result<()> {
    let first = master(scene)?;
    let port = lead_to(scene, &scene.path("nobody").display().to_string())?;
    scene.bytes("heard", &call(port, b"").unwrap_or_else(|fault| fault.to_string().into_bytes()));
    let mut first = first;
    first.close_input();
    scene.outcome("master", &first.end()?);
    Ok(())
}

fn dynamic(scene: &Scene<'_>) -> Result<()> {
    let _master = master(scene)?;
    let (shouter, port) = (shouter()?, free_port()?);
    scene.hide(port, "<local port>");
    ask(scene, "forward", &["forward", "-D", &format!("127.0.0.1:{port}")])?;
    for (name, address) in [("IPv4", &[1, 127, 0, 0, 1][..]), ("a name", b"\x03\x09localhost")] {
        let stream = socks(port, address, shouter)?;
        let heard = converse(stream.try_clone()?, b"said", || stream.shutdown(Shutdown::Write))?;
        scene.bytes(name, &heard);
    }
    Ok(())
}

/// A connection through the SOCKS server at `port` to `address` (type and bytes, RFC 1928).
pub(crate) fn socks(port: u16, address: &[u8], far: u16) -> Result<TcpStream> {
    let mut stream = connect(port)?;
    stream.write_all(&[5, 1, 0])?;
    let mut method = [0; 2];
    stream.read_exact(&mut method)?;
    let request: Vec<u8> = [5, 1, 0].iter().chain(address).copied().chain(far.to_be_bytes()).collect();
    stream.write_all(&request)?;
    let mut answer = [0; 10];
    stream.read_exact(&mut answer)?;
    ensure!(method == [5, 0] && answer.starts_with(&[5, 0]), "SOCKS answered {method:?}, {answer:?}");
    Ok(stream)
}

fn standard_streams(scene: &Scene<'_>) -> Result<()> {
    let target = format!("127.0.0.1:{}", shouter()?);
    let mut ssh = scene.side.client("ssh");
    scene.outcome("", &run(ssh.args(["-W", &target, TARGET]), b"said")?);
    Ok(())
}

fn many(scene: &Scene<'_>) -> Result<()> {
    let _master = master(scene)?;
    let port = lead_to(scene, &format!("127.0.0.1:{}", shouter()?))?;
    let calls: Vec<_> =
        (0..100).map(|n: usize| thread::spawn(move || call(port, n.to_string().repeat(500).as_bytes()))).collect();
    let mut unheard = Vec::new();
    for (n, call) in calls.into_iter().enumerate() {
        match call.join().map_err(|_| anyhow::anyhow!("a caller panicked"))? {
            Ok(heard) if heard == format!("hello {}", n.to_string().repeat(500)).into_bytes() => {}
            Ok(heard) => unheard.push(format!("{n}: {} bytes", heard.len())),
            Err(fault) => unheard.push(format!("{n}: {fault}")),
        }
    }
    ensure!(unheard.is_empty(), "not every caller heard its own: {}", unheard.join(", "));
    scene.note("a hundred callers", "each heard its own");
    Ok(())
}

//! What is forwarded through the whole path arrives as under sshd.

use crate::{Run::Shared, Test};
use anyhow::{Context, Result, ensure};
use e2e::{Session, Stack, client::outcome};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    process::Stdio,
    thread,
};

pub(crate) const TESTS: &[Test] = &[
    ("forwarding::standard_input_reaches_a_port_and_its_answer_comes_back", Shared(stdio)),
    ("forwarding::a_port_in_the_workspace_leads_to_the_user", Shared(remote)),
    ("forwarding::many_at_once_both_ways_are_whole", Shared(crowd)),
    ("forwarding::what_cannot_be_reached_is_told", Shared(refused)),
];

const WORKSPACE: &str = "user@ws-796636";

/// A port whose next visitor is told, at its end of file, what it has sent: the answer needs a half-closed forward.
fn listener() -> Result<(u16, thread::JoinHandle<Result<()>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let serve = move || -> Result<()> {
        let (mut stream, _) = listener.accept()?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all)?;
        stream.write_all(&all)?;
        Ok(stream.shutdown(Shutdown::Both)?)
    };
    Ok((port, thread::spawn(serve)))
}

fn stdio(world: &Stack) -> Result<()> {
    let (port, served) = listener()?;
    let data: Vec<u8> = (0..2_000_003_u32).map(|n| (n % 251) as u8).collect();
    let mut ssh = world.user("alice")?.quiet_ssh();
    ssh.args(["-W", &format!("127.0.0.1:{port}"), WORKSPACE]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = ssh.spawn().context("ssh does not start")?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    let sent = data.clone();
    let writer = thread::spawn(move || stdin.write_all(&sent));
    let output = child.wait_with_output()?;
    ensure!(writer.join().is_ok_and(|written| written.is_ok()) && served.join().is_ok_and(|served| served.is_ok()));
    ensure!(output.stdout == data, "{} bytes came back", output.stdout.len());
    Ok(())
}

fn remote(world: &Stack) -> Result<()> {
    let (port, served) = listener()?;
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("there");
    let forward = format!("{}:127.0.0.1:{port}", socket.display());
    let mut ssh = world.user("alice")?.quiet_ssh();
    ssh.args(["-o", "ExitOnForwardFailure=yes", "-R", &forward, WORKSPACE, "echo ready; cat"]);
    let mut child = ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("ssh does not start")?;
    child.stdout.as_mut().context("no stdout")?.read_exact(&mut [0; 6])?;
    // The demo's workspaces live on this machine.
    let mut visitor = UnixStream::connect(&socket)?;
    visitor.write_all(b"from inside")?;
    visitor.shutdown(Shutdown::Write)?;
    let mut back = String::new();
    visitor.read_to_string(&mut back)?;
    ensure!(back == "from inside" && served.join().is_ok_and(|served| served.is_ok()), "{back:?}");
    drop(child.stdin.take());
    ensure!(child.wait()?.success());
    e2e::within(std::time::Duration::from_secs(20), "the socket's end", || Ok(!socket.exists()))
}

/// Both ways at once and more than any window: what fills up in one direction must not end the other.
fn crowd(world: &Stack) -> Result<()> {
    const VISITORS: usize = 20;
    const EACH: usize = 4 << 20;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("there");
    let forward = format!("{}:{}", socket.display(), listener.local_addr()?);
    let mut ssh = world.user("alice")?.quiet_ssh();
    ssh.args(["-o", "ExitOnForwardFailure=yes", "-R", &forward, WORKSPACE, "echo ready; cat"]);
    let mut child = ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("ssh does not start")?;
    child.stdout.as_mut().context("no stdout")?.read_exact(&mut [0; 6])?;
    thread::spawn(move || listener.incoming().flatten().for_each(|visitor| drop(thread::spawn(|| echo(visitor)))));
    let whole = thread::scope(|scope| {
        let visitors: Vec<_> = (0..VISITORS).map(|_| scope.spawn(|| round(&socket, EACH))).collect();
        visitors.into_iter().map(|visitor| visitor.join().is_ok_and(|whole| whole.is_ok_and(|whole| whole))).collect::<Vec<_>>()
    });
    ensure!(whole.iter().all(|whole| *whole), "{whole:?}");
    drop(child.stdin.take());
    ensure!(child.wait()?.success());
    Ok(())
}

fn echo(visitor: TcpStream) -> Result<()> {
    std::io::copy(&mut &visitor, &mut &visitor)?;
    Ok(visitor.shutdown(Shutdown::Write)?)
}

/// Whether `amount` bytes come back from `socket` as they were sent.
fn round(socket: &Path, amount: usize) -> Result<bool> {
    let stream = UnixStream::connect(socket)?;
    let sent: Vec<u8> = (0..amount).map(|n| (n * 31 % 251) as u8).collect();
    let mut back = Vec::new();
    thread::scope(|scope| -> Result<()> {
        let writer = scope.spawn(|| (&stream).write_all(&sent).and_then(|()| stream.shutdown(Shutdown::Write)));
        (&stream).read_to_end(&mut back)?;
        Ok(writer.join().map_err(|_| anyhow::anyhow!("the writer failed"))??)
    })?;
    Ok(back == sent)
}

fn refused(world: &Stack) -> Result<()> {
    let closed = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    ensure!(TcpStream::connect(closed).is_err());
    let mut ssh = world.user("alice")?.quiet_ssh();
    outcome(ssh.args(["-W", &closed.to_string(), WORKSPACE]))?.refused("connect failed: Connection refused")
}

//! VS Code Remote-SSH: a script over standard input, a server in the workspace, and its windows through forwards.

use crate::{
    live::Live,
    openssh::{
        Plain,
        forward::{connect, socks},
    },
    run::{noise, run, until},
    scene::Scene,
    side::TARGET,
};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    path::PathBuf,
    thread,
};

pub(super) const CASES: &[Plain] = &[
    ("vscode::probes_the_platform", probe),
    ("vscode::uploads_over_standard_input", upload),
    ("vscode::local_server_behind_a_dynamic_forward", behind_dynamic),
    ("vscode::several_windows_on_a_socket", windows),
];

/// Stands in for the editor's server: greets, then echoes; prints its port as the real one does.
const SERVER: &str = r#"
import os, socketserver, sys, threading
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        for line in self.rfile:
            self.wfile.write(line.upper())
class Port(socketserver.ThreadingTCPServer):
    daemon_threads = True
class Socket(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
server = Socket(sys.argv[1], Echo) if len(sys.argv) > 1 else Port(("127.0.0.1", 0), Echo)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
print("listeningOn==%s==" % (server.server_address if len(sys.argv) > 1 else server.server_address[1]), flush=True)
server.serve_forever()
"#;

/// The editor's options.
const OPTIONS: &[&str] = &["-T", "-o", "ConnectTimeout=15"];

fn probe(scene: &Scene<'_>) -> Result<()> {
    scene.outcome("uname", &run(scene.ssh(OPTIONS).arg("uname -s -m"), &[])?);
    let script = b"echo 'a1b2: running'\nuname -s\nuname -m\ncommand -v sh >/dev/null && echo shell=$(basename \"$SHELL\")\n\
                   test -w \"$HOME\" && echo writable\necho 'a1b2: end'\n";
    scene.outcome("bash", &run(scene.ssh(OPTIONS).arg("bash"), script)?);
    scene.outcome("sh -l", &run(scene.ssh(OPTIONS).arg("sh -l"), script)?);
    Ok(())
}

/// The archive follows the script on the same input.
fn upload(scene: &Scene<'_>) -> Result<()> {
    let archive = noise(8 << 20);
    let target = scene.path("server.tar.gz");
    let command = format!("cat > {0} && sha256sum < {0} && stat -c %s {0}", target.display());
    scene.outcome("", &run(scene.ssh(OPTIONS).arg(command), &archive)?);
    ensure!(fs::read(target)? == archive, "the archive arrived changed");
    Ok(())
}

/// Starts the stand-in, which ends with its session; what it printed between the marks.
fn serve(scene: &Scene<'_>, client: &mut std::process::Command, argument: &str) -> Result<(Live, String)> {
    let script = scene.file("server.py", SERVER)?;
    let live = Live::piped(client.arg(format!("exec {} {} {argument}", scene.world.python.display(), script.display())))?;
    live.expect("==\n")?;
    let printed = String::from_utf8(live.printed())?;
    Ok((live, printed.split("==").nth(1).context("no address")?.to_owned()))
}

fn behind_dynamic(scene: &Scene<'_>) -> Result<()> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut ssh = scene.side.client("ssh");
    ssh.args(OPTIONS).args(["-D", &port.to_string(), TARGET]);
    let (mut server, address) = serve(scene, &mut ssh, "")?;
    let far: u16 = address.parse()?;
    let windows: Vec<_> =
        (0..6).map(|n: usize| thread::spawn(move || window(socks(port, &[1, 127, 0, 0, 1], far)?, n))).collect();
    for (n, window) in windows.into_iter().enumerate() {
        scene.bytes(&format!("window {n}"), &window.join().map_err(|_| anyhow::anyhow!("a window panicked"))??);
    }
    server.close_input();
    scene.note("status", server.end()?.status.unwrap_or(-1));
    Ok(())
}

/// What one window hears: the greeting, and its lines in capitals.
fn window(mut stream: TcpStream, n: usize) -> Result<Vec<u8>> {
    let lines: String = (0..200).map(|line| format!("window {n} line {line}\n")).collect();
    stream.write_all(lines.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard)?;
    Ok(heard)
}

/// `remote.SSH.remoteServerListenOnSocket`: each window is an ssh of its own with a forward to the server's socket.
fn windows(scene: &Scene<'_>) -> Result<()> {
    let socket: PathBuf = scene.path("s");
    let (mut server, _) = serve(scene, &mut scene.ssh(OPTIONS), &socket.display().to_string())?;
    let mut windows = Vec::new();
    for n in 0..3 {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut ssh = scene.side.client("ssh");
        ssh.args(OPTIONS).args(["-o", "ExitOnForwardFailure=yes", "-L", &format!("127.0.0.1:{port}:{}", socket.display())]);
        let live = Live::piped(ssh.args([TARGET, "echo window-ready; cat"]))?;
        live.expect("window-ready")?;
        until("the forward is there", || TcpStream::connect(("127.0.0.1", port)).is_ok())?;
        scene.bytes(&format!("window {n}"), &window(connect(port)?, n)?);
        windows.push(live);
    }
    for mut live in windows {
        live.close_input();
        scene.note("window's status", live.end()?.status.unwrap_or(-1));
    }
    server.close_input();
    scene.note("server's status", server.end()?.status.unwrap_or(-1));
    Ok(())
}

//! What users do all the time, each once.

use super::{
    chaos::{Chaos, LOOK, VICTIM},
    rough::Rough,
};
use anyhow::{Context, Result, ensure};
use e2e::{Stack, User, client::fingerprint};
use serde_json::json;
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use xtask::api::Api;

/// Bytes of one transfer.
const TRANSFER: usize = 4 << 20;
/// Bytes through one forward; less than the windows on the way, so that one thread may write before it reads.
const FORWARD: usize = 256 << 10;
/// How long a session lasts that outlives its tunnels: two disturbances at least.
const LASTING: Duration = Duration::from_secs(20);
/// Bytes of one of its lines.
const LINE: usize = 16 << 10;
/// An agent without a tunnel has one again within this time: its longest wait, and a dial.
const BACK: Duration = Duration::from_secs(60);
/// The workspace whose agent nobody touches.
const QUIET: &str = "796636";

/// One kind of thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// A login and a command.
    Login,
    /// The same where agents are killed and frozen.
    RoughLogin,
    /// Bytes to a workspace.
    Upload,
    /// Bytes from it.
    Download,
    /// Bytes there and back through a forwarded port.
    Forward,
    /// A key that is taken away while it is used.
    Revocation,
    /// A key that nobody knows.
    Refusal,
    /// A session that outlives its tunnels.
    Lasting,
}

impl Deed {
    pub(crate) const ALL: [Self; 8] = [
        Self::Login,
        Self::RoughLogin,
        Self::Upload,
        Self::Download,
        Self::Forward,
        Self::Revocation,
        Self::Refusal,
        Self::Lasting,
    ];

    /// Whether it goes where agents are killed.
    pub(crate) fn needs_victim(self) -> bool {
        self == Self::RoughLogin
    }

    pub(crate) fn once(self, cast: &Cast, chaos: &Chaos) -> Result<()> {
        match self {
            Self::Login => login(&cast.alice, QUIET),
            Self::RoughLogin => login(&cast.bob, VICTIM),
            Self::Upload => cast.upload(),
            Self::Download => cast.download(),
            Self::Forward => cast.forward(),
            Self::Revocation => chaos.edge().and_then(|_edge| cast.revocation()),
            Self::Refusal => cast.refusal(),
            Self::Lasting => cast.lasting(),
        }
    }
}

/// Who does it.
#[derive(Debug)]
pub(crate) struct Cast {
    alice: User,
    bob: User,
    /// Whose key comes and goes.
    trudy: User,
    trudys: Api,
    stranger: User,
    /// Who works where tunnels are cut, and on what.
    rough: (User, String),
    echo: u16,
}

impl Cast {
    pub(crate) fn assemble(stack: &Stack, rough: &Rough, echo: u16) -> Result<Self> {
        let [trudy, stranger] = [stack.new_stranger("trudy")?, stack.new_stranger("stranger")?];
        stack.edge.operator().put(&format!("/api/operator/workspaces/{QUIET}/members/trudy"), &json!({}))?.ok()?;
        let (alice, bob, trudys) = (stack.user("alice")?.clone(), stack.user("bob")?.clone(), stack.api(&trudy));
        let rough = (rough.user.clone(), rough.target());
        Ok(Self { alice, bob, trudy, trudys, stranger, rough, echo })
    }

    fn upload(&self) -> Result<()> {
        let sent = noise();
        let got = feed(ssh(&self.alice, QUIET).arg("cksum"), sent.clone())?;
        let here = feed(&mut Command::new("cksum"), sent)?;
        ensure!(got == here, "{got:?} came of {here:?}");
        Ok(())
    }

    fn download(&self) -> Result<()> {
        let output = ssh(&self.alice, QUIET).arg("-n").arg(format!("head -c {TRANSFER} /dev/zero")).output()?;
        let whole = output.stdout.len() == TRANSFER && output.stdout.iter().all(|byte| *byte == 0);
        ensure!(whole && output.status.success(), "{} bytes, {}", output.stdout.len(), said(&output.stderr));
        Ok(())
    }

    /// A `-W` inside the workspace, to an echo on this machine.
    fn forward(&self) -> Result<()> {
        let sent = vec![7; FORWARD];
        let mut ssh = self.alice.ssh();
        ssh.args(["-o", "BatchMode=yes", "-W", &format!("127.0.0.1:{}", self.echo)]).arg(format!("user@ws-{QUIET}"));
        let got = feed(&mut ssh, sent.clone())?;
        ensure!(got == sent, "{} of {} bytes came back", got.len(), sent.len());
        Ok(())
    }

    fn revocation(&self) -> Result<()> {
        let line = fs::read_to_string(self.trudy.key_file.with_extension("pub"))?;
        self.trudys.post("/api/ssh/keys", &json!({"publicKey": line}))?.ok()?;
        let session = open(ssh(&self.trudy, QUIET).arg("echo in; exec cat"));
        let gone = json!({"publicKeyFingerprint": fingerprint(&self.trudy)?});
        self.trudys.delete("/api/ssh/keys", &gone)?.ok()?;
        let mut session = session?;
        // Its end of input would end it, too.
        let _input = session.stdin.take();
        let output = session.wait_with_output()?;
        ensure!(output.status.code() == Some(255), "{}: {}", output.status, said(&output.stderr));
        Ok(())
    }

    /// Lines there and back for a while. Only its login may have to be tried again, while there is no tunnel.
    fn lasting(&self) -> Result<()> {
        let (mut child, begun) = (self.lasting_session()?, Instant::now());
        let (mut input, output) = (child.stdin.take().context("no input")?, child.stdout.take().context("no output")?);
        let mut lines = BufReader::new(output).lines();
        let piece = "x".repeat(LINE);
        for number in 0.. {
            writeln!(input, "{number} {piece}")?;
            let line = lines.next().with_context(|| format!("it ended at line {number}"))??;
            ensure!(line == format!("{number} {piece}"), "line {number} came back as {} other bytes", line.len());
            if begun.elapsed() > LASTING {
                break;
            }
            thread::sleep(LOOK);
        }
        drop(input);
        ensure!(child.wait()?.success() && lines.next().is_none(), "it ended otherwise than it should");
        Ok(())
    }

    fn lasting_session(&self) -> Result<Child> {
        let ((user, target), begun) = (&self.rough, Instant::now());
        loop {
            let mut ssh = user.ssh();
            ssh.args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=15"]).arg(target).arg("echo in; exec cat");
            match open(&mut ssh) {
                Err(fault) if begun.elapsed() > BACK => return Err(fault),
                Err(_) => thread::sleep(LOOK),
                Ok(child) => return Ok(child),
            }
        }
    }

    fn refusal(&self) -> Result<()> {
        let output = ssh(&self.stranger, QUIET).args(["-n", "true"]).output()?;
        ensure!(said(&output.stderr).contains("Permission denied"), "{}: {}", output.status, said(&output.stderr));
        Ok(())
    }
}

fn login(user: &User, workspace: &str) -> Result<()> {
    let output = ssh(user, workspace).args(["-n", "echo $((6*7))"]).output()?;
    ensure!(output.status.success() && output.stdout == b"42\n", "{}: {}", output.status, said(&output.stderr));
    Ok(())
}

fn ssh(user: &User, workspace: &str) -> Command {
    let mut ssh = user.ssh();
    ssh.args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=5"]);
    ssh.arg(format!("user@ws-{workspace}"));
    ssh
}

fn open(ssh: &mut Command) -> Result<Child> {
    let mut child = ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().context("no output")?).read_line(&mut line)?;
    if line != "in\n" {
        let output = child.wait_with_output()?;
        anyhow::bail!("a new key does not work: {}", said(&output.stderr));
    }
    Ok(child)
}

fn feed(command: &mut Command, input: Vec<u8>) -> Result<Vec<u8>> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().context("no input")?;
    let writer = thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output()?;
    ensure!(writer.join().is_ok_and(|written| written.is_ok()) && output.status.success(), "{}", said(&output.stderr));
    Ok(output.stdout)
}

fn noise() -> Vec<u8> {
    (0..TRANSFER).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// What a workspace's ports lead to here: bytes come back as they went.
#[derive(Debug)]
pub(crate) struct Echo(u16);

impl Echo {
    /// For as long as this process lives.
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || drop(echo(stream)));
            }
        });
        Ok(Self(port))
    }

    pub(crate) const fn port(&self) -> u16 {
        self.0
    }
}

fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard)?;
    stream.write_all(&heard)
}

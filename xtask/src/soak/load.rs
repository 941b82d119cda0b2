//! What users do all the time, each once.

use super::chaos::{Chaos, VICTIM};
use crate::{
    api::Api,
    stack::{Stack, User},
};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
};

/// Bytes of one transfer.
const TRANSFER: usize = 4 << 20;
/// Bytes through one forward; less than the windows on the way, so that one thread may write before it reads.
const FORWARD: usize = 256 << 10;
/// The workspace whose agent nobody touches.
const QUIET: &str = "796636";

/// One kind of thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
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
}

impl Deed {
    pub(super) const ALL: [Self; 7] =
        [Self::Login, Self::RoughLogin, Self::Upload, Self::Download, Self::Forward, Self::Revocation, Self::Refusal];

    /// Whether it goes where agents are killed.
    pub(super) fn needs_victim(self) -> bool {
        self == Self::RoughLogin
    }

    pub(super) fn once(self, cast: &Cast, chaos: &Chaos) -> Result<()> {
        match self {
            Self::Login => login(&cast.alice, QUIET),
            Self::RoughLogin => login(&cast.bob, VICTIM),
            Self::Upload => cast.upload(),
            Self::Download => cast.download(),
            Self::Forward => cast.forward(),
            Self::Revocation => chaos.edge().and_then(|_edge| cast.revocation()),
            Self::Refusal => cast.refusal(),
        }
    }
}

/// Who does it.
#[derive(Debug)]
pub(super) struct Cast {
    alice: User,
    bob: User,
    /// Whose key comes and goes.
    trudy: User,
    trudys: Api,
    stranger: User,
    echo: u16,
}

impl Cast {
    pub(super) fn assemble(stack: &Stack, echo: u16) -> Result<Self> {
        let [trudy, stranger] = [stack.new_stranger("trudy")?, stack.new_stranger("stranger")?];
        stack.edge.operator().put(&format!("/api/operator/workspaces/{QUIET}/members/trudy"), &json!({}))?.ok()?;
        let (alice, bob, trudys) = (stack.user("alice")?.clone(), stack.user("bob")?.clone(), stack.api(&trudy));
        Ok(Self { alice, bob, trudy, trudys, stranger, echo })
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
        let added: serde_json::Value = self.trudys.post("/api/ssh/keys", &json!({"publicKey": line}))?.json()?;
        let session = open(ssh(&self.trudy, QUIET).arg("echo in; exec cat"));
        let gone = json!({"publicKeyFingerprint": added["publicKeyFingerprint"]});
        self.trudys.delete("/api/ssh/keys", &gone)?.ok()?;
        let mut session = session?;
        // Its end of input would end it, too.
        let _input = session.stdin.take();
        let output = session.wait_with_output()?;
        ensure!(output.status.code() == Some(255), "{}: {}", output.status, said(&output.stderr));
        Ok(())
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
pub(super) struct Echo(u16);

impl Echo {
    /// For as long as this process lives.
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || drop(echo(stream)));
            }
        });
        Ok(Self(port))
    }

    pub(super) const fn port(&self) -> u16 {
        self.0
    }
}

fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard)?;
    stream.write_all(&heard)
}

//! A client that sends what the test says and nothing else.

use crate::harness::Workspace;
use std::{process::Stdio, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, ChildStdout},
    time::timeout,
};

/// Longer than anything here takes, on a loaded machine too.
const PATIENCE: Duration = Duration::from_secs(60);

/// One SFTP session.
pub(crate) struct Raw {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    id: u32,
}

/// An answer without its length and id.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) kind: u8,
    pub(crate) id: u32,
    pub(crate) body: Vec<u8>,
}

pub(crate) const NO_ATTRIBUTES: [u8; 4] = [0; 4];
pub(crate) const OPEN: u8 = 3;
pub(crate) const CLOSE: u8 = 4;
pub(crate) const READ: u8 = 5;
pub(crate) const WRITE: u8 = 6;
pub(crate) const OPENDIR: u8 = 11;
pub(crate) const READDIR: u8 = 12;
pub(crate) const REALPATH: u8 = 16;
pub(crate) const READLINK: u8 = 19;
pub(crate) const EXTENDED: u8 = 200;

impl Raw {
    /// A session after its greeting.
    pub(crate) async fn start(workspace: &Workspace) -> Self {
        let mut raw = Self::bare(workspace);
        raw.send(b"\0\0\0\x05\x01\0\0\0\x03").await;
        let answer = raw.answer().await;
        assert_eq!((answer.kind, answer.id), (2, 3), "the version");
        raw
    }

    /// A session in which nothing was said.
    pub(crate) fn bare(workspace: &Workspace) -> Self {
        let mut ssh = workspace.ssh(&["-s"]);
        let mut child = ssh.args(["ws", "sftp"]).stdin(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output, id: 100 }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.input.write_all(bytes)).await.expect("nothing is taken").unwrap();
    }

    /// Sends a request of several parts.
    pub(crate) async fn request(&mut self, kind: u8, parts: &[&[u8]]) -> u32 {
        self.id += 1;
        self.send(&message(kind, self.id, parts)).await;
        self.id
    }

    pub(crate) async fn answer(&mut self) -> Answer {
        let read = async {
            let length = self.output.read_u32().await.unwrap();
            let mut message = vec![0; length as usize];
            self.output.read_exact(&mut message).await.unwrap();
            let body = message.split_off(5);
            Answer { kind: message[0], id: u32::from_be_bytes(message[1..5].try_into().unwrap()), body }
        };
        timeout(PATIENCE, read).await.expect("no answer comes")
    }

    /// A request and its answer.
    pub(crate) async fn ask(&mut self, kind: u8, parts: &[&[u8]]) -> Answer {
        let id = self.request(kind, parts).await;
        let answer = self.answer().await;
        assert_eq!(answer.id, id);
        answer
    }

    /// Opens a file of the home folder.
    pub(crate) async fn open(&mut self, name: &str, flags: u32) -> Vec<u8> {
        let answer = self.ask(OPEN, &[&string(name.as_bytes()), &flags.to_be_bytes(), &NO_ATTRIBUTES]).await;
        assert_eq!(answer.kind, 102, "{answer:?}");
        answer.body
    }

    /// Says no more; what came after all was asked, the exit status, and what went to standard error.
    pub(crate) async fn end(self) -> (Vec<u8>, Option<i32>, String) {
        let Self { child, input, mut output, .. } = self;
        drop(input);
        let mut rest = Vec::new();
        timeout(PATIENCE, output.read_to_end(&mut rest)).await.expect("the session does not end").unwrap();
        let ended = crate::harness::ends(child).await;
        (rest, ended.status.code(), String::from_utf8(ended.stderr).unwrap())
    }
}

impl Answer {
    /// Code and words of a status.
    pub(crate) fn status(&self) -> (u32, &str) {
        assert_eq!(self.kind, 101, "{self:?}");
        let words = &self.body[8..self.body.len() - 4];
        (u32::from_be_bytes(self.body[..4].try_into().unwrap()), std::str::from_utf8(words).unwrap())
    }

    /// The bytes that were read.
    pub(crate) fn data(&self) -> &[u8] {
        assert_eq!(self.kind, 103, "{self:?}");
        &self.body[4..]
    }

    /// How many names it has, and the first one.
    pub(crate) fn names(&self) -> (u32, &[u8]) {
        assert_eq!(self.kind, 104, "{self:?}");
        let number = |at: usize| u32::from_be_bytes(self.body[at..at + 4].try_into().unwrap());
        (number(0), &self.body[8..8 + number(4) as usize])
    }
}

/// A whole message.
pub(crate) fn message(kind: u8, id: u32, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = u32::try_from(body.len() + 5).unwrap();
    [&length.to_be_bytes()[..], &[kind], &id.to_be_bytes(), &body].concat()
}

/// Length and bytes.
pub(crate) fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

//! Large transfers that are under way while something happens to them, compared to the byte at their end.

use anyhow::{Context, Result, anyhow, ensure};
use drawbridge_shared::hex;
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread::{self, JoinHandle},
};
use tempfile::TempDir;

/// Bytes of one transfer: more than all that can be on its way.
const LARGE: u64 = 256 << 20;
/// Of these so many have moved before it counts as under way.
const MOVED: usize = 32 << 20;

/// What is sent.
pub(crate) struct Bulk {
    bytes: Arc<[u8]>,
    folder: TempDir,
}

/// One transfer to a workspace.
pub(crate) struct Upload {
    child: Child,
    feed: JoinHandle<io::Result<()>>,
    digest: String,
}

/// One from there.
pub(crate) struct Download {
    child: Child,
    fetch: JoinHandle<io::Result<Vec<u8>>>,
    bytes: Arc<[u8]>,
}

impl Bulk {
    /// Bytes that nobody could guess.
    pub(crate) fn new() -> Result<Self> {
        let (mut bytes, folder) = (Vec::new(), tempfile::tempdir()?);
        File::open("/dev/urandom")?.take(LARGE).read_to_end(&mut bytes)?;
        fs::write(folder.path().join("large"), &bytes)?;
        Ok(Self { bytes: bytes.into(), folder })
    }

    /// To where `ssh`, up to its destination, leads; some have gone.
    pub(crate) fn up(&self, ssh: &mut Command) -> Result<Upload> {
        let mut child = ssh.arg("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut input = child.stdin.take().context("no input")?;
        input.write_all(&self.bytes[..MOVED])?;
        let bytes = self.bytes.clone();
        let feed = thread::spawn(move || input.write_all(&bytes[MOVED..]));
        Ok(Upload { child, feed, digest: format!("{}  -\n", hex::encode(&Sha256::digest(&self.bytes))) })
    }

    /// From there; some have come.
    pub(crate) fn down(&self, ssh: &mut Command) -> Result<Download> {
        let file = self.folder.path().join("large");
        let mut child = ssh.arg(format!("cat {}", file.display())).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let (mut output, mut got) = (child.stdout.take().context("no output")?, vec![0; MOVED]);
        output.read_exact(&mut got)?;
        let fetch = thread::spawn(move || output.read_to_end(&mut got).map(|_| got));
        Ok(Download { child, fetch, bytes: self.bytes.clone() })
    }
}

impl Upload {
    /// Whether it is still under way.
    pub(crate) fn runs(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits for its end: all has come as it went.
    pub(crate) fn finish(self) -> Result<()> {
        self.feed.join().map_err(|_| anyhow!("nobody fed it"))??;
        let told = self.child.wait_with_output()?;
        ensure!(told.status.success() && told.stdout == self.digest.as_bytes(), "{told:?} is not {}", self.digest);
        Ok(())
    }
}

impl Download {
    /// Whether it is still under way.
    pub(crate) fn runs(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits for its end: all has come as it was.
    pub(crate) fn finish(mut self) -> Result<()> {
        let got = self.fetch.join().map_err(|_| anyhow!("nobody fetched it"))??;
        ensure!(self.child.wait()?.success() && *got == *self.bytes, "{} bytes came down, or others", got.len());
        Ok(())
    }
}

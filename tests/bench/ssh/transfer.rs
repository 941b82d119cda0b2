//! Bulk: bytes through a command, and files through scp, sftp and rsync.

use crate::route::{Route, run};
use anyhow::{Context, Result, ensure};
use e2e::cost;
use std::{
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::Instant,
};

/// Written and read at once.
const PIECE: usize = 256 * 1024;
/// Small files, and bytes of each.
const FILES: usize = 2000;
const FILE: usize = 4096;

/// What is transferred, and where to, all in memory.
#[derive(Debug)]
pub(crate) struct Goods {
    dir: PathBuf,
    mib: usize,
}

impl Goods {
    /// One file of `mib` MiB of random data, and a folder of small ones.
    pub(crate) fn prepare(name: &str, mib: usize) -> Result<Self> {
        // One name for all runs: one that was interrupted leaves no memory behind for longer than until the next.
        let dir = Path::new("/dev/shm/drawbridge-bench").join(name);
        emptied(&dir)?;
        fs::create_dir(dir.join("small"))?;
        let goods = Self { dir: dir.clone(), mib };
        let mut chance = File::open("/dev/urandom")?;
        std::io::copy(&mut (&mut chance).take((mib as u64) << 20), &mut File::create(goods.large())?)?;
        for number in 0..FILES {
            std::io::copy(&mut (&mut chance).take(FILE as u64), &mut File::create(dir.join(format!("small/{number}")))?)?;
        }
        Ok(goods)
    }

    /// The one large file.
    pub(crate) fn large(&self) -> PathBuf {
        self.dir.join("large")
    }

    fn small(&self) -> PathBuf {
        self.dir.join("small")
    }

    /// Where copies go, and are deleted again.
    fn copies(&self) -> Result<PathBuf> {
        let copies = self.dir.join("copies");
        emptied(&copies)?;
        Ok(copies)
    }

    fn rate(&self, begun: Instant) -> f64 {
        self.mib as f64 / begun.elapsed().as_secs_f64()
    }

    /// What the jump host's CPU has to do for a GiB, in seconds.
    fn per_gib(&self, seconds: f64) -> f64 {
        seconds * 1024.0 / self.mib as f64
    }

    /// MiB a second through `cat`, from its first byte to its last, and seconds of the jump host's CPU a GiB.
    pub(crate) fn down(&self, route: &Route) -> Result<Vec<f64>> {
        let before = cost::settled_cpu(route.jump.pid)?;
        let (mut child, mut output) = begun(&mut route.ssh(&[]), &format!("printf x; exec cat {}", self.large().display()))?;
        let begun = Instant::now();
        let mut buffer = vec![0; PIECE];
        let mut got = 0;
        while let length @ 1.. = output.read(&mut buffer)? {
            got += length;
        }
        let rate = self.rate(begun);
        ensure!(child.wait()?.success() && got == self.mib << 20, "{got} bytes came");
        Ok(vec![rate, self.per_gib(cost::settled_cpu(route.jump.pid)? - before)])
    }

    /// MiB a second into a command that reads, until it says that it has all, and seconds of the jump host's CPU a GiB.
    pub(crate) fn up(&self, route: &Route) -> Result<Vec<f64>> {
        let before = cost::settled_cpu(route.jump.pid)?;
        let command = "printf x; wc -c";
        let mut ssh = route.ssh(&[]);
        let (mut child, mut output) = begun(ssh.stdin(Stdio::piped()), command)?;
        let begun = Instant::now();
        let (mut input, mut file) = (child.stdin.take().context("no input")?, File::open(self.large())?);
        let writes = thread::spawn(move || -> Result<()> {
            let mut buffer = vec![0; PIECE];
            while let length @ 1.. = file.read(&mut buffer)? {
                input.write_all(&buffer[..length])?;
            }
            Ok(())
        });
        let mut counted = String::new();
        output.read_to_string(&mut counted)?;
        let rate = self.rate(begun);
        ensure!(writes.join().is_ok_and(|written| written.is_ok()) && child.wait()?.success());
        ensure!(counted.trim() == (self.mib << 20).to_string(), "{counted} bytes came");
        Ok(vec![rate, self.per_gib(cost::settled_cpu(route.jump.pid)? - before)])
    }

    /// MiB a second of `sftp`, logins included: down, and up.
    pub(crate) fn sftp(&self, route: &Route) -> Result<Vec<f64>> {
        let to = self.copies()?;
        let from = self.large();
        let batch = |command: String| -> Result<f64> {
            let file = self.dir.join("batch");
            fs::write(&file, command)?;
            let begun = Instant::now();
            run(route.client("sftp").arg("-q").arg("-b").arg(&file).arg("target"))?;
            Ok(self.rate(begun))
        };
        let down = batch(format!("get {} {}/down\n", from.display(), to.display()))?;
        self.arrived(&to.join("down"))?;
        let up = batch(format!("put {} {}/up\n", from.display(), to.display()))?;
        self.arrived(&to.join("up"))?;
        Ok(vec![down, up])
    }

    /// MiB a second of `scp`, logins included: down, and up.
    pub(crate) fn scp(&self, route: &Route) -> Result<Vec<f64>> {
        let to = self.copies()?;
        let begun = Instant::now();
        run(route.client("scp").arg("-q").arg(route.remote(&self.large())).arg(to.join("down")))?;
        let down = self.rate(begun);
        self.arrived(&to.join("down"))?;
        let begun = Instant::now();
        run(route.client("scp").arg("-q").arg(self.large()).arg(route.remote(&to.join("up"))))?;
        let up = self.rate(begun);
        self.arrived(&to.join("up"))?;
        Ok(vec![down, up])
    }

    fn arrived(&self, copy: &Path) -> Result<()> {
        ensure!(fs::metadata(copy)?.len() == (self.mib as u64) << 20, "{} is not whole", copy.display());
        Ok(())
    }

    /// Small files a second of `scp -r`, logins included: down, and up.
    pub(crate) fn scp_small(&self, route: &Route) -> Result<Vec<f64>> {
        self.small_files(|to| {
            [
                copy(
                    route.client("scp").args(["-q", "-r"]),
                    [route.remote(&self.small()), to.join("down").display().to_string()],
                ),
                copy(route.client("scp").args(["-q", "-r"]), [self.small().display().to_string(), route.remote(&to.join("up"))]),
            ]
        })
    }

    /// Small files a second of rsync, logins included: down, and up.
    pub(crate) fn rsync_small(&self, route: &Route, program: &Path) -> Result<Vec<f64>> {
        let rsync = || {
            let mut rsync = Command::new(program);
            rsync.args(["-a", "-e", &route.ssh_line()]).arg(format!("--rsync-path={}", program.display()));
            rsync
        };
        let small = format!("{}/", self.small().display());
        self.small_files(|to| {
            [
                copy(&mut rsync(), [format!("target:{small}"), format!("{}/", to.join("down").display())]),
                copy(&mut rsync(), [small.clone(), format!("target:{}/", to.join("up").display())]),
            ]
        })
    }

    fn small_files(&self, copies: impl FnOnce(&Path) -> [Result<f64>; 2]) -> Result<Vec<f64>> {
        let to = self.copies()?;
        let [down, up] = copies(&to);
        for copy in ["down", "up"] {
            let there = fs::read_dir(to.join(copy))?.count();
            ensure!(there == FILES, "{there} files came {copy}");
        }
        Ok(vec![FILES as f64 / down?, FILES as f64 / up?])
    }
}

impl Drop for Goods {
    fn drop(&mut self) {
        // It is memory.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The folder is there, and nothing is in it.
fn emptied(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    Ok(fs::create_dir_all(folder)?)
}

/// Seconds that copying takes.
fn copy(program: &mut Command, ends: [String; 2]) -> Result<f64> {
    let begun = Instant::now();
    run(program.args(ends))?;
    Ok(begun.elapsed().as_secs_f64())
}

/// `ssh` with `command`, which has printed its first byte.
pub(crate) fn begun(ssh: &mut Command, command: &str) -> Result<(Child, ChildStdout)> {
    let mut child = ssh.arg(command).stdout(Stdio::piped()).spawn()?;
    let mut output = child.stdout.take().context("no output")?;
    let mut first = [0];
    output.read_exact(&mut first).context("no session")?;
    Ok((child, output))
}

//! A connection outlives its tunnel: nothing is lost, doubled or cut short by an outage.

use crate::{Run::Alone, Test};
use anyhow::{Context, Result, ensure};
use drawbridge_shared::hex;
use e2e::{Session, Stack, within};
use rustix::process::Signal;
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

pub(crate) const TESTS: &[Test] = &[("resume::an_outage_costs_no_byte_and_no_keystroke", Alone(outage))];

/// More than all that can be on its way.
const LARGE: u64 = 256 << 20;
/// The tunnel is given up by then, and a new one made.
const NOTICED: Duration = Duration::from_secs(40);

/// The agent stands still until its daemon has given up the tunnel; a shell, an upload and a download are under way.
fn outage(world: &mut Stack) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("large");
    let mut bytes = Vec::new();
    File::open("/dev/urandom")?.take(LARGE).read_to_end(&mut bytes)?;
    fs::write(&file, &bytes)?;
    let digest = format!("{}  -\n", hex::encode(&Sha256::digest(&bytes)));
    let log = world.dir().join("logs/daemon.log");
    let seen = |what: &str| Ok::<_, anyhow::Error>(fs::read_to_string(&log)?.matches(what).count());
    let (lost, resumed) = (seen("lost its tunnel")?, seen("a connection goes on")?);
    let ssh = world.user("alice")?.quiet_ssh();
    let start = |command: &str| -> Result<Child> {
        let mut ssh = Command::new(ssh.get_program());
        ssh.args(world.user("alice")?.quiet_ssh().get_args()).args(["user@ws-796636", command]);
        Ok(ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?)
    };

    let mut shell = start("exec sh")?;
    let mut typed = shell.stdin.take().context("no input")?;
    let mut shown = BufReader::new(shell.stdout.take().context("no output")?).lines();
    writeln!(typed, "echo before")?;
    ensure!(shown.next().context("no answer")?? == "before");

    let mut upload = start("sha256sum")?;
    let mut input = upload.stdin.take().context("no input")?;
    input.write_all(&bytes[..32 << 20])?;
    let mut download = start(&format!("cat {}", file.display()))?;
    let mut output = download.stdout.take().context("no output")?;
    let mut got = vec![0; 32 << 20];
    output.read_exact(&mut got)?;

    let agent = &world.workspace("796636")?.agent;
    agent.signal(Signal::STOP);
    let rest = bytes[32 << 20..].to_vec();
    let feed = thread::spawn(move || input.write_all(&rest));
    let fetch = thread::spawn(move || output.read_to_end(&mut got).map(|_| got));
    writeln!(typed, "echo during")?;
    let patience = within(NOTICED, "three connections without a tunnel", || {
        thread::sleep(Duration::from_millis(100));
        Ok(seen("lost its tunnel")? >= lost + 3)
    });
    agent.signal(Signal::CONT);
    patience?;

    ensure!(shown.next().context("no answer")?? == "during");
    writeln!(typed, "echo after; exit 7")?;
    ensure!(shown.next().context("no answer")?? == "after" && shell.wait()?.code() == Some(7));
    feed.join().map_err(|_| anyhow::anyhow!("nobody fed it"))??;
    let told = upload.wait_with_output()?;
    ensure!(told.status.success() && told.stdout == digest.as_bytes(), "{told:?} is not {digest}");
    let got = fetch.join().map_err(|_| anyhow::anyhow!("nobody fetched it"))??;
    ensure!(download.wait()?.success() && got == bytes, "{} bytes came down, or others", got.len());
    ensure!(seen("a connection goes on")? >= resumed + 3, "they did not go on over another tunnel");
    Ok(())
}

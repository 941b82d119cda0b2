//! A process is replaced under its sessions: they go on where they are, new ones come to the successor; and where it died,
//! nobody waits for it.

use super::{Echo, Place, ends_well};
use crate::{
    Run::{Alone, Shared},
    Test,
};
use anyhow::{Context, Result, ensure};
use e2e::{SOON, Session, Stack, client::hold};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use xtask::{
    process::Process,
    stack::{JUMP, status},
};

pub(crate) const TESTS: &[Test] = &[
    ("tunnels::an_agent_is_replaced_under_its_sessions", Shared(replaced)),
    ("tunnels::a_successor_that_falls_is_replaced_under_the_first_ones_sessions", Shared(fallen)),
    ("tunnels::a_second_agent_that_takes_nobodys_place_is_refused", Shared(refused)),
    ("tunnels::sessions_of_a_killed_agent_end_once_another_serves_alone", Shared(killed)),
    ("tunnels::programs_of_a_killed_daemons_sessions_end_once_it_is_back", Alone(orphaned)),
];

/// A tunnel that was given up is back within this time.
const BACK: Duration = Duration::from_secs(60);
/// Well under what the daemon waits for a process that may live.
const GIVEN_UP: Duration = Duration::from_secs(30);

/// Waits until what `process` posts in the state folder `state` fits.
fn posted(process: &mut Process, state: &Path, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<()> {
    let pid = process.pid();
    process.until(what, BACK, || status(state, pid).filter(&wanted).map(drop))
}

fn connected(status: &Value) -> bool {
    status["tunnels"].as_object().is_some_and(|tunnels| tunnels.values().any(|tunnel| tunnel["state"] == "connected"))
}

/// The process that serves new logins.
fn server(place: &Place) -> Result<u32> {
    let told = place.user.run(&place.target(), "echo $PPID")?;
    told.text().trim().parse().with_context(|| format!("{told:?}"))
}

fn replaced(world: &Stack) -> Result<()> {
    let mut place = Place::new(world, "takeover", &[])?;
    let (folder, state) = (tempfile::tempdir()?, place.workspace.state_dir.clone());
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fs::write(&from, (0..1_000_003_u32).map(|n| (n / 251) as u8).collect::<Vec<_>>().repeat(96))?;
    let mut session = Echo::start(&place)?;
    ensure!(server(&place)? == place.workspace.agent.pid(), "a login is not served by the agent itself");
    let mut scp = Command::new("scp");
    scp.args(["-q", "-l", "64000", "-o", "BatchMode=yes", "-F"]).arg(&place.user.ssh_config).args(["-J", JUMP]);
    let mut copy = scp.arg(&from).arg(format!("{}:{}", place.target(), to.display())).spawn()?;

    let new = world.another_agent(&place.workspace, &["--take-over"])?;
    let mut old = std::mem::replace(&mut place.workspace.agent, new);
    posted(&mut old, &state, "the handover", |status| status["handedOver"].is_string())?;
    let new = place.workspace.agent.pid();
    ensure!(server(&place)? == new, "a login is served by the old process");
    ensure!(copy.try_wait()?.is_none(), "the copy was over before the handover");
    session.say("by the old one")?;
    let said = world.agent_status(&place.workspace)?;
    ensure!(said["pid"] == new && said["predecessor"]["pid"] == old.pid(), "{said}");

    place.relay.stall(true);
    posted(&mut old, &state, "the loss of its tunnel", |status| !connected(status))?;
    place.relay.stall(false);
    session.say("over another tunnel of the old one")?;
    posted(&mut place.workspace.agent, &state, "its tunnel", connected)?;
    ensure!(server(&place)? == new, "a login after the cut is served by the old process");
    ensure!(copy.wait()?.success() && fs::read(&from)? == fs::read(&to)?, "the copy was harmed");
    ensure!(old.ended().is_none(), "the old process did not wait for its last session");
    session.end()?;
    ends_well(&mut old)?;
    ensure!(server(&place)? == new, "the successor does not serve on");
    let said = world.agent_status(&place.workspace)?;
    ensure!(said["pid"] == new && said.get("predecessor").is_none(), "{said}");
    Ok(())
}

/// The third finds the first still handing over, and does not end it.
fn fallen(world: &Stack) -> Result<()> {
    let mut place = Place::new(world, "fallen", &[])?;
    let state = place.workspace.state_dir.clone();
    let mut session = Echo::start(&place)?;
    let second = world.another_agent(&place.workspace, &["--take-over"])?;
    let mut first = std::mem::replace(&mut place.workspace.agent, second);
    posted(&mut first, &state, "the handover", |status| status["handedOver"].is_string())?;
    place.workspace.agent.kill();
    place.workspace.agent = world.another_agent(&place.workspace, &["--take-over"])?;
    posted(&mut place.workspace.agent, &state, "its tunnel", connected)?;
    ensure!(server(&place)? == place.workspace.agent.pid(), "the third does not serve");
    session.say("by the first one")?;
    session.end()?;
    ends_well(&mut first)
}

fn refused(world: &Stack) -> Result<()> {
    let workspace = world.new_workspace("refused", "alice")?;
    let mut second = world.another_agent(&workspace, &[])?;
    let code = second.end(SOON)?.code();
    let log = fs::read_to_string(world.dir().join("logs/agent-refused.log"))?;
    let words = format!("process {} serves {}", workspace.agent.pid(), workspace.state_dir.display());
    ensure!(code == Some(1), "{code:?}");
    ensure!(log.contains(&words) && log.contains("--take-over"), "it does not say {words:?}: {log}");
    Ok(())
}

/// The next one serves within seconds; without its word the daemon would wait for the dead one.
fn killed(world: &Stack) -> Result<()> {
    let mut place = Place::new(world, "killed", &[])?;
    let mut session = hold(place.user.quiet_ssh().arg(place.target()))?;
    place.workspace.agent.kill();
    let begun = Instant::now();
    place.workspace.agent = world.another_agent(&place.workspace, &[])?;
    posted(&mut place.workspace.agent, &place.workspace.state_dir, "its tunnel", connected)?;
    place.user.run(&place.target(), "echo new")?.printed("new\n")?;
    let status = session.wait()?;
    ensure!(status.code() == Some(255) && begun.elapsed() < GIVEN_UP, "{status} after {:?}", begun.elapsed());
    Ok(())
}

/// The agent kept them for a daemon that might come back for them, and would for minutes.
fn orphaned(world: &mut Stack) -> Result<()> {
    let mut ssh = world.user("alice")?.quiet_ssh();
    let mut session = ssh.args(["user@ws-796636", "echo $$; exec cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(session.stdout.as_mut().context("no output")?).read_line(&mut line)?;
    let program = Path::new("/proc").join(line.trim());
    ensure!(program.exists(), "{line:?} is no process");
    world.daemon.process.kill();
    ensure!(session.wait()?.code() == Some(255) && program.exists(), "the program did not outlive its daemon");
    let begun = Instant::now();
    world.restart_daemon()?;
    world.workspace("796636")?.agent.until("the program's end", GIVEN_UP, || (!program.exists()).then_some(()))?;
    ensure!(begun.elapsed() < GIVEN_UP, "{:?}", begun.elapsed());
    world.user("alice")?.run("user@ws-796636", "echo again")?.printed("again\n")
}

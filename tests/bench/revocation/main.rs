//! `cargo xtask bench revocation`: from an acknowledged DELETE of a key to the end of its sessions on both hops.

mod deaf;

use anyhow::{Result, bail, ensure};
use deaf::DeafEdge;
use e2e::{
    Session, Stack, User,
    client::{fingerprint, hold},
    figures::{Figure, Goal, Report, outcome, save, show},
    within,
};
use serde_json::json;
use std::{
    env,
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};
use xtask::{build, root};

/// Sessions that are ended while the feed is up.
const PUSHED: usize = 120;
/// And while it is down.
const POLLED: usize = 40;
/// Whose keys come and go, and where to.
const USER: &str = "rita";
const WORKSPACE: &str = "lighthouse";
/// Between two looks at what is measured.
const LOOK: Duration = Duration::from_millis(1);
/// What takes longer does not come.
const PATIENCE: Duration = Duration::from_secs(60);
/// The stack's daemon asks the edge so often, spread by a tenth; its agents too.
const POLL: f64 = 1000.0;

fn main() -> ExitCode {
    outcome(measure())
}

fn measure() -> Result<()> {
    xtask::interrupt::install()?;
    let programs = build::all(root())?;
    let mut world = Stack::start(root(), &build::target(root()).join("revocation"), programs)?;
    let rita = world.new_user(USER)?;
    let member = format!("/api/operator/workspaces/{WORKSPACE}/members/{USER}");
    world.edge.operator().put(&member, &json!({}))?.ok()?;
    let mut figures = ends(&world, &rita, PUSHED, "feed up", 1000.0)?;
    figures.iter().for_each(|figure| eprintln!("{figure}"));
    let deaf = DeafEdge::start(&world.edge.url)?;
    world.restart_daemon_towards(&deaf.url())?;
    within(PATIENCE, "the agents are back", || Ok(rita.run(&target(), "true")?.status == Some(0)))?;
    figures.extend(ends(&world, &rita, POLLED, "feed down", POLL * 1.1 + 1000.0)?);
    let report = Report::new(figures)?;
    save(&report, "revocation")?;
    show(&report, env::args().any(|argument| argument == "--json"))
}

fn target() -> String {
    format!("user@ws-{WORKSPACE}")
}

/// When each end of one revoked session was seen, in milliseconds after the edge's acknowledgement.
struct Ended {
    agent: f64,
    daemon: f64,
    client: f64,
}

fn ends(world: &Stack, rita: &User, sessions: usize, feed: &str, bound: f64) -> Result<Vec<Figure>> {
    eprintln!("{sessions} sessions, {feed} ...");
    let ends = (0..sessions).map(|number| end(world, rita, &format!("{USER}-{}-{number}", feed.replace(' ', "-"))));
    let ends = ends.collect::<Result<Vec<_>>>()?;
    let of = |what: &str| format!("DELETE acknowledged -> {what}, {feed}");
    let each = |read: fn(&Ended) -> f64| ends.iter().map(read).collect();
    Ok(vec![
        Figure::new(of("both hops closed"), "ms", each(|ended| ended.agent.max(ended.daemon)), Goal::P99(bound))?,
        Figure::new(of("the agent has disconnected"), "ms", each(|ended| ended.agent), Goal::None)?,
        Figure::new(of("the daemon has disconnected"), "ms", each(|ended| ended.daemon), Goal::None)?,
        Figure::new(of("the user's ssh has ended"), "ms", each(|ended| ended.client), Goal::None)?,
    ])
}

/// One session of a key of its own, from its first line to its end.
fn end(world: &Stack, rita: &User, name: &str) -> Result<Ended> {
    let user = world.new_key(rita, name)?;
    let line = fs::read_to_string(user.key_file.with_extension("pub"))?;
    let key = fingerprint(&user)?;
    world.api(&user).post("/api/ssh/keys", &json!({"publicKey": line}))?.ok()?;
    let mut child = hold(user.quiet_ssh().arg(target()))?;
    let mut agent = Tail::new(&world.dir().join(format!("logs/agent-{WORKSPACE}.log")), ["revoked", &key])?;
    let mut daemon = Tail::new(&world.daemon.audit, ["logout", &key])?;
    world.api(&user).delete("/api/ssh/keys", &json!({"publicKeyFingerprint": key}))?.ok()?;
    let acknowledged = Instant::now();
    let (mut seen, ms) = ([None; 3], || acknowledged.elapsed().as_secs_f64() * 1e3);
    while seen.iter().any(Option::is_none) {
        ensure!(acknowledged.elapsed() < PATIENCE, "{name}: {seen:?}");
        let now = [agent.shows()?, daemon.shows()?, child.try_wait()?.is_some()];
        seen.iter_mut().zip(now).filter(|(_, now)| *now).for_each(|(seen, _)| *seen = seen.or_else(|| Some(ms())));
        thread::sleep(LOOK);
    }
    match seen {
        [Some(agent), Some(daemon), Some(client)] => Ok(Ended { agent, daemon, client }),
        _ => bail!("not all was seen"),
    }
}

/// What is written to a log from now on.
struct Tail {
    path: PathBuf,
    from: u64,
    words: [String; 2],
    shown: bool,
}

impl Tail {
    fn new(path: &Path, words: [&str; 2]) -> Result<Self> {
        let from = fs::metadata(path)?.len();
        Ok(Self { path: path.into(), from, words: words.map(str::to_owned), shown: false })
    }

    /// Whether one line had both words.
    fn shows(&mut self) -> Result<bool> {
        if !self.shown {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(self.from))?;
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            self.shown = text.lines().any(|line| self.words.iter().all(|word| line.contains(word)));
        }
        Ok(self.shown)
    }
}

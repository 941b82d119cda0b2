//! Which agents a daemon lets in: the workspace's own, and no other.

use crate::{
    Run::{Alone, Shared},
    Test,
};
use anyhow::{Result, bail, ensure};
use drawbridge_shared::{
    id::WorkspaceId,
    native::{
        control,
        identity::{Identity, PublicIdentity},
        quic,
        state_dir::StateDir,
        tunnel::Tunnel,
    },
    tunnel::{
        VERSION,
        frame::{Frame, Reason},
        instance::Instance,
        proof::Binding,
    },
};
use e2e::{SOON, Session, Stack, client::Outcome};
use serde_json::{Value, json};
use std::{
    fs,
    net::{SocketAddr, TcpListener},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};
use xtask::stack::mint;

/// A login has come to the workspace's tunnel by then.
const ASKED: Duration = Duration::from_millis(500);

pub(crate) const TESTS: &[Test] = &[
    ("agents::a_forged_one_is_refused", Shared(forged)),
    ("agents::one_of_another_workspace_is_refused", Shared(foreign)),
    ("agents::one_without_proof_is_refused", Shared(unsigned)),
    ("agents::a_daemon_with_another_identity_is_not_believed", Shared(impostor)),
    ("agents::one_that_is_enrolled_starts_while_the_edge_hangs", Shared(unanswered)),
    ("agents::a_folder_is_one_workspaces_whatever_the_token", Shared(elsewhere)),
    ("agents::killed_and_restarted_works_again_within_five_seconds", Alone(restarted)),
    ("agents::one_that_died_unnoticed_is_told_of_in_words", Alone(died)),
    ("agents::who_logs_in_before_that_is_noticed_gets_the_next_one", Alone(replaced)),
    ("agents::idle_ones_are_there_for_who_logs_in_right_after_a_daemons_crash", Alone(deserted)),
];

/// The daemon as an agent sees it.
fn daemon(world: &Stack) -> Result<(SocketAddr, PublicIdentity)> {
    let listed: Value = world.edge.operator().get("/api/operator/daemons")?.json()?;
    let entry = &listed["items"][0];
    let identity = PublicIdentity::from_line(entry["identity"].as_str().unwrap_or_default())?;
    Ok((entry["addresses"][0].as_str().unwrap_or_default().parse()?, identity))
}

/// What a daemon answers to a proof for `workspace` that `sign` makes.
fn answer_to(world: &Stack, workspace: &str, sign: impl Fn(&Binding<'_>) -> String) -> Result<Frame> {
    let (address, identity) = daemon(world)?;
    let workspace: WorkspaceId = workspace.parse()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let tunnel: Tunnel = quic::dial(address, identity).await?;
        let (mut reader, mut writer) = tunnel.open().await?;
        let hello = Frame::Hello {
            version: VERSION,
            workspace: workspace.clone(),
            instance: Instance([7; 16]),
            accepts: true,
            alone: false,
            agent: "test".into(),
        };
        control::write(&mut writer, &hello).await?;
        let Frame::Challenge { nonce } = control::read(&mut reader).await? else { bail!("no challenge") };
        let exporter = tunnel.exporter()?;
        let binding = Binding { nonce: &nonce, daemon: &identity.0, workspace: &workspace, exporter: &exporter };
        control::write(&mut writer, &Frame::Proof { signature: sign(&binding) }).await?;
        Ok(control::read(&mut reader).await?)
    })
}

fn refused(frame: Frame) -> Result<()> {
    ensure!(matches!(frame, Frame::Refuse { reason: Reason::NotRegistered, .. }), "{frame:?}");
    Ok(())
}

fn own_key(world: &Stack, id: &str) -> Result<Identity> {
    let workspace = world.workspaces.iter().find(|workspace| workspace.id == id);
    let state = workspace.map(|workspace| workspace.state_dir.clone()).unwrap_or_default();
    Ok(StateDir::open(&state)?.identity("workspace_key")?)
}

fn forged(world: &Stack) -> Result<()> {
    let key = Identity::from_seed(&[9; 32]);
    refused(answer_to(world, "796636", |binding| binding.sign(&key.ssh()).unwrap_or_default())?)
}

fn foreign(world: &Stack) -> Result<()> {
    let key = own_key(world, "lighthouse")?;
    refused(answer_to(world, "796636", |binding| binding.sign(&key.ssh()).unwrap_or_default())?)?;
    refused(answer_to(world, "nowhere", |binding| binding.sign(&key.ssh()).unwrap_or_default())?)
}

fn unsigned(world: &Stack) -> Result<()> {
    refused(answer_to(world, "796636", |_| String::new())?)
}

fn impostor(world: &Stack) -> Result<()> {
    let (address, _) = daemon(world)?;
    let other = Identity::from_seed(&[9; 32]).public();
    let dialled = tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(quic::dial(address, other));
    ensure!(dialled.is_err(), "an agent believed a daemon with another key");
    Ok(())
}

/// A listener that accepts nothing is an edge that hangs: the kernel connects, and nobody answers.
fn unanswered(world: &Stack) -> Result<()> {
    let mut workspace = world.new_workspace("unanswered", "alice")?;
    workspace.agent.kill();
    let hangs = TcpListener::bind("127.0.0.1:0")?;
    let (edge, begun) = (format!("http://{}", hangs.local_addr()?), Instant::now());
    workspace.agent = world.another_agent(&workspace, &["--edge", &edge])?;
    world.user("alice")?.run("user@ws-unanswered", "echo again")?.printed("again\n")?;
    ensure!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
    Ok(())
}

/// Neither loses its agent's key to the other.
fn elsewhere(world: &Stack) -> Result<()> {
    let mut ours = world.new_workspace("elsewhere-ours", "alice")?;
    let operator = world.edge.operator();
    operator.put("/api/operator/workspaces/elsewhere-theirs", &json!({"region": "local"}))?.ok()?;
    let before = fs::read(ours.state_dir.join("enrolled.json"))?;
    let token = std::mem::replace(&mut ours.token, mint(&operator, "agent", "elsewhere-theirs")?);
    let mut refused = world.another_agent(&ours, &["--take-over"])?;
    ensure!(refused.end(SOON)?.code() == Some(1));
    ensure!(fs::read(ours.state_dir.join("enrolled.json"))? == before, "the folder was changed");
    let theirs: Value = operator.get("/api/operator/workspaces/elsewhere-theirs")?.json()?;
    ensure!(theirs["agentKey"].is_null(), "the key was given away: {theirs}");
    ours.token = token;
    world.user("alice")?.run("user@ws-elsewhere-ours", "echo here")?.printed("here\n")
}

fn restarted(world: &mut Stack) -> Result<()> {
    world.workspace("796636")?.agent.kill();
    let begun = Instant::now();
    world.restart_agent("796636")?;
    world.user("alice")?.run("user@ws-796636", "echo again")?.printed("again\n")?;
    ensure!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
    Ok(())
}

/// Its tunnel seems to be there until something is asked of it.
fn died(world: &mut Stack) -> Result<()> {
    world.workspace("796636")?.agent.kill();
    let refused = world.user("alice")?.run("user@ws-796636", "echo never");
    world.restart_agent("796636")?;
    refused?.refused("workspace 796636 is offline since 20")
}

fn replaced(world: &mut Stack) -> Result<()> {
    world.workspace("796636")?.agent.kill();
    let mut ssh = world.user("alice")?.quiet_ssh();
    let asks = ssh.args(["-n", "user@ws-796636", "echo again"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    thread::sleep(ASKED);
    world.restart_agent("796636")?;
    Outcome::from(asks.wait_with_output()?).printed("again\n")
}

/// Nothing tells an idle agent of a crash but the daemon's successor.
fn deserted(world: &mut Stack) -> Result<()> {
    world.daemon.process.kill();
    world.restart_daemon()?;
    world.user("alice")?.run("user@ws-796636", "echo again")?.printed("again\n")?;
    world.user("bob")?.run("user@ws-lighthouse", "echo again")?.printed("again\n")
}

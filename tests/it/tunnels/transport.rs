//! Which transport carries a tunnel: WebSocket where UDP is blocked, QUIC again when it is back, a proxy where there is one;
//! and what a dead way costs.

mod proxy;

use super::{Echo, Place};
use crate::{Run::Shared, Test};
use anyhow::{Context, Result, ensure};
use e2e::{SOON, Session, Stack};
use proxy::Proxy;
use serde_json::Value;
use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};
use xtask::{
    stack::{Workspace, status},
    whole,
};

pub(crate) const TESTS: &[Test] = &[
    ("tunnels::websocket_carries_all_where_udp_is_blocked", Shared(blocked)),
    ("tunnels::quic_takes_over_when_udp_is_back_and_a_running_scp_is_unharmed", Shared(back)),
    ("tunnels::a_flow_that_a_nat_forgot_is_found_again", Shared(forgotten)),
    ("tunnels::a_dead_tunnel_is_noticed_while_a_session_runs", Shared(dead)),
    ("tunnels::a_proxy_with_a_password_is_gone_through", Shared(proxied)),
    ("tunnels::a_health_check_of_the_tcp_port_is_answered", Shared(health)),
];

/// The first probe of QUIC comes within 7 s, the second within 19 s.
const PROBED: Duration = Duration::from_secs(40);

/// What the workspace's agent says of its only tunnel, once `wanted` fits.
pub(super) fn tunnel(workspace: &mut Workspace, what: &str, bound: Duration, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let (state, pid) = (workspace.state_dir.clone(), workspace.agent.pid());
    workspace.agent.until(what, bound, || {
        let status = status(&state, pid)?;
        status["tunnels"].as_object()?.values().next().filter(|tunnel| wanted(tunnel)).cloned()
    })
}

/// Connected so.
pub(super) fn over(transport: &'static str) -> impl Fn(&Value) -> bool {
    move |tunnel| tunnel["state"] == "connected" && tunnel["transport"] == transport
}

/// `scp` as the place's user, up to its operands, 8 MB/s at most.
fn scp(place: &Place) -> Command {
    let mut scp = Command::new("scp");
    scp.args(["-q", "-l", "64000", "-o", "BatchMode=yes", "-F"]).arg(&place.user.ssh_config).args(["-J", xtask::stack::JUMP]);
    scp
}

fn blocked(world: &Stack) -> Result<()> {
    let mut place = Place::prepared(world, "blocked", &[], |relay| relay.udp(false))?;
    let tunnel = tunnel(&mut place.workspace, "WebSocket", SOON, over("websocket"))?;
    ensure!(tunnel["why"] == "no answer over quic for 300 ms" && tunnel["quicAgain"].is_string(), "{tunnel}");
    let told = place.user.run(&place.target(), "echo $((6*7)); exit 3")?;
    ensure!(told.status == Some(3) && told.text() == "42\n", "{told:?}");
    let bytes: Vec<u8> = (0..16_u32 << 20).map(|n| (n / 253) as u8).collect();
    let got = place.user.converse(&place.target(), "cat", bytes.clone())?;
    ensure!(got.status == Some(0) && got.out == bytes, "{} bytes came, {}", got.out.len(), got.err);
    Ok(())
}

fn back(world: &Stack) -> Result<()> {
    let mut place = Place::prepared(world, "back", &[], |relay| relay.udp(false))?;
    tunnel(&mut place.workspace, "WebSocket", SOON, over("websocket"))?;
    let folder = tempfile::tempdir()?;
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fs::write(&from, (0..1_000_003_u32).map(|n| (n / 251) as u8).collect::<Vec<_>>().repeat(128))?;
    let mut session = Echo::start(&place)?;
    let mut copy = scp(&place).arg(&from).arg(format!("{}:{}", place.target(), to.display())).spawn()?;
    place.relay.udp(true);
    tunnel(&mut place.workspace, "QUIC", PROBED, over("quic"))?;
    ensure!(copy.try_wait()?.is_none(), "the copy was over before UDP was back");
    place.user.run(&place.target(), "echo new")?.printed("new\n")?;
    session.say("still here")?;
    ensure!(copy.wait()?.success() && fs::read(&from)? == fs::read(&to)?, "the copy was harmed");
    session.say("and after")?;
    session.end()
}

fn forgotten(world: &Stack) -> Result<()> {
    let mut place = Place::new(world, "forgotten", &["--transport", "quic"])?;
    let before = tunnel(&mut place.workspace, "QUIC", SOON, over("quic"))?;
    let mut session = Echo::start(&place)?;
    place.relay.cut();
    session.say("from another port")?;
    let after = tunnel(&mut place.workspace, "QUIC", SOON, over("quic"))?;
    ensure!(before == after, "{before} became {after}");
    session.end()
}

fn dead(world: &Stack) -> Result<()> {
    let mut place = Place::new(world, "dead", &[])?;
    let _session = Echo::start(&place)?;
    place.relay.stall(true);
    let begun = Instant::now();
    tunnel(&mut place.workspace, "the loss of its tunnel", SOON, |tunnel| tunnel["state"] == "disconnected")?;
    ensure!(begun.elapsed() < Duration::from_secs(10), "noticed after {:?}", begun.elapsed());
    place.relay.stall(false);
    tunnel(&mut place.workspace, "its tunnel again", PROBED, |tunnel| tunnel["state"] == "connected")?;
    place.user.run(&place.target(), "echo again")?.printed("again\n")
}

fn proxied(world: &Stack) -> Result<()> {
    let proxy = Proxy::start("agent:open sesame")?;
    let url = format!("http://agent:open%20sesame@{}", proxy.address());
    let mut place = Place::prepared(world, "proxied", &["--proxy", &url], |relay| relay.udp(false))?;
    let tunnel = tunnel(&mut place.workspace, "WebSocket", SOON, over("websocket"))?;
    ensure!(tunnel["proxy"] == proxy.address().to_string() && !tunnel.to_string().contains("sesame"), "{tunnel}");
    place.user.run(&place.target(), "echo through")?.printed("through\n")?;
    ensure!(proxy.asked() >= 2, "it was asked {} times: enrolment and keys are the edge's", proxy.asked());
    // The control stream, the session, and a spare.
    ensure!(proxy.passed() >= 2 && proxy.refused() == 0, "{} passed, {} refused", proxy.passed(), proxy.refused());
    Ok(())
}

fn health(world: &Stack) -> Result<()> {
    let url = format!("http://{}/", world.daemon.tunnel);
    let answer = Command::new("curl").args(["-s", "--noproxy", "*", "-w", " %{http_code}", &url]).output();
    let answer = whole::needed(answer.context("curl is missing"))?;
    let text = String::from_utf8_lossy(&answer.stdout);
    ensure!(text.ends_with("there is no page here. 404"), "{answer:?}");
    Ok(())
}

//! The feed under real workerd: every change is told at once, and nothing to those who may not follow.

use crate::{Run::Shared, Test};
use anyhow::{Context, Result, bail, ensure};
use drawbridge_shared::{
    id::{SnapshotSeq, UserId},
    key::UserKey,
    native::clock,
    snapshot::Manifest,
    token::Token,
};
use e2e::{
    SOON, Stack,
    follower::{Follower, lets_in},
};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{net::TcpStream, runtime::Builder, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest, http::HeaderValue},
};
use xtask::stack::mint;

pub(crate) const TESTS: &[Test] = &[
    ("feed::the_first_frame_is_the_current_manifest_then_every_change_is_told", Shared(frames)),
    ("feed::a_revoked_tokens_socket_is_closed", Shared(revoked)),
    ("feed::only_those_who_may_follow_are_let_in", Shared(refused)),
    ("feed::a_daemon_follows_by_push_alone", Shared(pushed)),
];

/// Nobody polls this often within a test.
const NEVER: Duration = Duration::from_secs(3600);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(world: &Stack, token: &str) -> Result<Socket, tungstenite::Error> {
    let mut request = format!("{}/v1/feed", world.edge.url.replacen("http", "ws", 1)).into_client_request()?;
    request.headers_mut().insert("authorization", HeaderValue::try_from(format!("Bearer {token}"))?);
    Ok(connect_async(request).await?.0)
}

/// The next message within a bound.
async fn next(socket: &mut Socket) -> Result<Message> {
    let message = timeout(SOON, socket.next()).await.context("the feed says nothing")?;
    Ok(message.context("the feed ended")??)
}

/// The next manifest, verified.
async fn frame(world: &Stack, socket: &mut Socket) -> Result<Manifest> {
    let Message::Text(text) = next(socket).await? else { bail!("a frame that is no manifest") };
    verified(world, &text)
}

fn verified(world: &Stack, text: &str) -> Result<Manifest> {
    Ok(Manifest::verify(text, &world.edge.trust_key.parse()?, clock::now(), SnapshotSeq(0), Duration::ZERO)?)
}

fn block_on(test: impl Future<Output = Result<()>>) -> Result<()> {
    Builder::new_current_thread().enable_all().build()?.block_on(test)
}

/// A change of ours; others change things at the same time.
fn change(world: &Stack, number: usize) -> Result<()> {
    world.edge.operator().put(&format!("/api/operator/workspaces/feed-{number}"), &json!({"region": "nowhere"}))?.ok()
}

fn current(world: &Stack) -> Result<SnapshotSeq> {
    let answer = world.edge.operator().get("/v1/snapshot")?;
    answer.ok()?;
    Ok(verified(world, &answer.body)?.seq)
}

/// What is published within a moment goes out as one frame: numbers never fall, and each change is told within a bound.
fn frames(world: &Stack) -> Result<()> {
    let token = mint(&world.edge.operator(), "daemon", "feed-frames")?;
    block_on(async {
        let before = current(world)?;
        let mut socket = connect(world, &token).await?;
        let mut last = frame(world, &mut socket).await?.seq;
        ensure!(last >= before, "the first frame is number {last}, older than {before}");
        for number in 0..5 {
            change(world, number)?;
            let made = current(world)?;
            while last < made {
                let next = frame(world, &mut socket).await?.seq;
                ensure!(next >= last, "after number {last} came {next}");
                last = next;
            }
        }
        socket.send(Message::text("ping")).await?;
        while next(&mut socket).await? != Message::text("pong") {}
        Ok(())
    })
}

fn revoked(world: &Stack) -> Result<()> {
    let (gone, stays) =
        (mint(&world.edge.operator(), "daemon", "feed-gone")?, mint(&world.edge.operator(), "daemon", "feed-stays")?);
    block_on(async {
        let (mut closed, mut open) = (connect(world, &gone).await?, connect(world, &stays).await?);
        let mut last = frame(world, &mut open).await?.seq;
        let id = gone.parse::<Token>()?.hash().to_hex();
        world.edge.operator().delete(&format!("/api/operator/tokens/{id}"), &json!({}))?.ok()?;
        let words = loop {
            if let Message::Close(words) = next(&mut closed).await? {
                break words;
            }
        };
        ensure!(words.as_ref().is_some_and(|words| u16::from(words.code) == 1008), "closed with {words:?}");
        change(world, 9)?;
        while last < current(world)? {
            last = frame(world, &mut open).await?.seq;
        }
        ensure!(status(connect(world, &gone).await)? == 401);
        Ok(())
    })
}

fn refused(world: &Stack) -> Result<()> {
    let user = mint(&world.edge.operator(), "user", "feed-user")?;
    block_on(async {
        ensure!(status(connect(world, "nonsense").await)? == 401);
        ensure!(status(connect(world, &user).await)? == 403);
        ensure!(world.edge.operator().get("/v1/feed")?.status == 426, "a plain GET is told to upgrade");
        Ok(())
    })
}

/// The status that refused an upgrade.
fn status(tried: Result<Socket, tungstenite::Error>) -> Result<u16> {
    match tried {
        Err(tungstenite::Error::Http(answer)) => Ok(answer.status().as_u16()),
        Err(fault) => Err(fault.into()),
        Ok(_) => bail!("let in"),
    }
}

fn pushed(world: &Stack) -> Result<()> {
    let follower = Follower::start(&world.edge, "feed-follower", NEVER)?;
    follower.until(SOON, "there", |view| view.seq() > SnapshotSeq(0))?;
    let id: UserId = "feed-paula".parse()?;
    let paula = world.new_user(id.as_str())?;
    let key = UserKey::parse(&std::fs::read_to_string(paula.key_file.with_extension("pub"))?)?.fingerprint();
    follower.until(SOON, "with a key that was registered", |view| lets_in(view, &id, &key))?;
    let before = follower.seq();
    let listed: Value = world.api(&paula).get("/api/ssh/keys")?.json()?;
    world.api(&paula).delete("/api/ssh/keys", &json!({"publicKeyFingerprint": listed[0]["publicKeyFingerprint"]}))?.ok()?;
    follower.until(SOON, "without a key that was deleted", |view| !lets_in(view, &id, &key))?;
    ensure!(follower.seq() > before);
    Ok(())
}

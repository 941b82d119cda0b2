//! The Ledger's Durable Object: hands questions to the Ledger, pushes what it publishes, and lets KV follow.

use super::{
    KV,
    body::{read, respond},
    platform::{Edge, now},
    sql::Sql,
};
use crate::{
    api::{Unreachable, router},
    command::{Call, Reply},
    ledger::{Effects, Ledger as Core, journal::Write},
    limits::{APPLY_PACE, APPLY_PARALLEL, APPLY_RETRY, DRAIN, FEEDS, PUSH_GATHER, STUMBLE},
    problem::Failure,
    secrets::Secrets,
};
use ::worker::{
    Delay, DurableObject, Env, HttpRequest, Request, Response, Result, State, WebSocket, WebSocketIncomingMessage, WebSocketPair,
    console_error, durable_object, kv::KvStore, worker_sys::WebSocketRequestResponsePair,
};
use axum::{
    Router,
    body::Body,
    http::{self, StatusCode, header},
};
use drawbridge_shared::{backoff::Backoff, time::Timestamp, token::TokenHash};
use futures_util::{StreamExt, stream};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};
use tower_service::Service;

const BACKOFF: Backoff = Backoff::new(APPLY_RETRY.0, APPLY_RETRY.1);

/// The one Durable Object.
#[durable_object]
pub struct Ledger {
    room: Rc<Room>,
    router: Router,
}

/// The Ledger and all that it needs to work.
pub(super) struct Room {
    state: State,
    pub(super) env: Env,
    pub(super) core: Core<Sql>,
    /// Known to have all its rows.
    pub(super) is_whole: Cell<bool>,
    /// What time brings has failed, and is not tried again before.
    stumbled: Cell<Timestamp>,
    /// When the alarm goes off, if this instance knows.
    alarm: Cell<Option<Timestamp>>,
    /// A manifest that is to be pushed.
    news: RefCell<Option<String>>,
    follower: Follower,
}

/// How KV follows: one pass at a time, paced, later after a failure.
struct Follower {
    busy: Cell<bool>,
    rest: Cell<Timestamp>,
    backoff: RefCell<Backoff>,
}

impl DurableObject for Ledger {
    fn new(state: State, env: Env) -> Self {
        // The runtime answers pings without waking us.
        if let Ok(pair) = WebSocketRequestResponsePair::new("ping", "pong") {
            state.set_websocket_auto_response(&pair);
        }
        let core = Core::new(Sql::new(state.storage()), secrets(&env));
        let follower =
            Follower { busy: Cell::new(false), rest: Cell::new(Timestamp::from_unix(0)), backoff: RefCell::new(BACKOFF) };
        let room = Rc::new(Room {
            state,
            env: env.clone(),
            core,
            is_whole: Cell::new(false),
            stumbled: Cell::new(Timestamp::from_unix(0)),
            alarm: Cell::new(None),
            news: RefCell::default(),
            follower,
        });
        Self { router: router(Edge::beside(room.clone(), env)), room }
    }

    /// What bears no token does not get here from outside: it is the clock, in case an alarm was lost.
    async fn fetch(&self, request: Request) -> Result<Response> {
        if !request.headers().has(header::AUTHORIZATION.as_str())? {
            self.room.wake().await;
            return Response::empty();
        }
        let (parts, body) = HttpRequest::try_from(request)?.into_parts();
        // No longer than the front forwards.
        let body = Body::from(read(body, DRAIN).await?);
        respond(self.router.clone().call(http::Request::from_parts(parts, body)).await?).await
    }

    /// Never fails: what went wrong is logged, and the next alarm is set.
    async fn alarm(&self) -> Result<Response> {
        self.room.wake().await;
        Response::empty()
    }

    /// Followers have nothing to say.
    async fn websocket_message(&self, _: WebSocket, _: WebSocketIncomingMessage) -> Result<()> {
        Ok(())
    }

    async fn websocket_close(&self, socket: WebSocket, _: usize, _: String, _: bool) -> Result<()> {
        let _ = socket.close(Some(1000), Some("bye"));
        Ok(())
    }

    async fn websocket_error(&self, _: WebSocket, _: ::worker::Error) -> Result<()> {
        Ok(())
    }
}

fn secrets(env: &Env) -> std::result::Result<Secrets, Vec<String>> {
    Secrets::read(&|name: &str| env.secret(name).ok().map(|secret| secret.to_string()))
}

impl Room {
    /// Answers one question, and does what follows from it.
    pub(super) async fn call(self: &Rc<Self>, call: Call) -> std::result::Result<Reply, Unreachable> {
        self.whole().await?;
        let (reply, effects) = self.core.call(call, now());
        // What changed nothing is due when it was: to find out when reads the manifest.
        if effects.changed || self.alarm.get().is_none_or(|set| set < now()) {
            self.spread(&effects).await;
        }
        Ok(reply)
    }

    /// What time brings.
    async fn wake(self: &Rc<Self>) {
        self.alarm.set(None);
        if self.whole().await.is_ok() {
            self.tick();
            Rc::clone(self).apply().await;
        } else {
            self.revive().await;
            self.arm().await;
        }
    }

    /// Whether it is known to have all its rows.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole.get()
    }

    fn tick(self: &Rc<Self>) {
        match self.core.tick(now()) {
            Ok(effects) => self.push(&effects),
            Err(refusal) => self.stumble(&format!("the alarm's work failed: {refusal}")),
        }
        self.hang_up_strangers();
    }

    /// Something that time brought failed: the alarm does not come back to it at once.
    pub(super) fn stumble(&self, words: &str) {
        console_error!("ledger: {words}");
        self.stumbled.set(now().after(STUMBLE));
    }

    /// Lets a daemon follow; its socket is tagged with the token that opened it.
    pub(super) fn follow(&self, token: TokenHash, manifest: &str) -> std::result::Result<http::Response<Body>, Failure> {
        if self.state.get_websockets().len() >= FEEDS {
            let failure = Failure::new(StatusCode::SERVICE_UNAVAILABLE, "Too many feeds are open");
            return Err(failure.advice("Poll /v1/snapshot instead."));
        }
        let open = || {
            let pair = WebSocketPair::new()?;
            self.state.accept_websocket_with_tags(&pair.server, &[&token.to_hex()]);
            pair.server.send_with_str(manifest)?;
            Response::from_websocket(pair.client)
        };
        open().map(Into::into).map_err(|fault: ::worker::Error| Failure::unavailable(fault.to_string()))
    }

    /// After a command: pushes, lets KV follow, and makes sure of an alarm.
    async fn spread(self: &Rc<Self>, effects: &Effects) {
        self.push(effects);
        if !self.follower.busy.get() && self.follower.rest.get() <= now() {
            self.state.wait_until(Rc::clone(self).apply());
        }
        self.arm().await;
    }

    /// What is published within a moment goes out as one frame, the last; a revoked token's sockets are closed.
    fn push(self: &Rc<Self>, effects: &Effects) {
        for hash in &effects.revoked {
            self.state.get_websockets_with_tag(&hash.to_hex()).iter().for_each(hang_up);
        }
        let Some(manifest) = &effects.published else { return };
        if self.news.replace(Some(manifest.clone())).is_none() {
            let room = Rc::clone(self);
            self.state.wait_until(async move {
                Delay::from(PUSH_GATHER).await;
                room.tell();
            });
        }
    }

    fn tell(&self) {
        let Some(manifest) = self.news.take() else { return };
        for socket in self.state.get_websockets() {
            // A socket that is just closing gets its news at the next connect.
            let _ = socket.send_with_str(&manifest);
        }
    }

    /// Tokens expire without anybody revoking them.
    fn hang_up_strangers(&self) {
        let welcome = |tag: &String| TokenHash::from_hex(tag).is_some_and(|hash| self.core.may_follow(&hash, now()));
        let sockets = self.state.get_websockets();
        sockets.iter().filter(|socket| !self.state.get_tags(socket).iter().any(welcome)).for_each(hang_up);
    }

    /// One pass of the journal; the rest and the retry are the alarm's.
    async fn apply(self: Rc<Self>) {
        if self.follower.busy.replace(true) {
            return;
        }
        let pause = match self.pass().await {
            Ok(()) => {
                self.follower.backoff.replace(BACKOFF);
                APPLY_PACE
            }
            Err(fault) => {
                console_error!("ledger: KV does not follow: {fault}");
                self.follower.backoff.borrow_mut().after(Duration::ZERO, 1.0)
            }
        };
        self.follower.rest.set(now().after(pause));
        self.follower.busy.set(false);
        self.arm().await;
    }

    /// Fails only when all writes that it began have ended: none may land behind those of the next pass.
    async fn pass(&self) -> Result<()> {
        let kv = self.env.kv(KV)?;
        let Some(pass) = self.core.next_pass().map_err(failed)? else { return Ok(()) };
        for stage in &pass {
            let writes = stream::iter(stage).map(|write| apply(&kv, write));
            let ended: Vec<_> = writes.buffer_unordered(APPLY_PARALLEL).collect().await;
            ended.into_iter().collect::<Result<()>>()?;
        }
        self.core.applied(&pass).map_err(failed)
    }

    /// Sets the alarm to the next thing to do, unless it goes off before.
    pub(super) async fn arm(&self) {
        let Some(due) = self.due() else { return };
        if self.alarm.get().is_some_and(|set| set <= due && set >= now()) {
            return;
        }
        let wait = i64::try_from(due.since(now()).as_millis()).unwrap_or(i64::MAX);
        match self.state.storage().set_alarm(wait).await {
            Ok(()) => self.alarm.set(Some(due)),
            Err(fault) => console_error!("ledger: no alarm: {fault}"),
        }
    }

    fn due(&self) -> Option<Timestamp> {
        let later = |due: Timestamp| due.max(self.stumbled.get());
        if !self.is_whole.get() {
            return self.revival_due().map(later);
        }
        let journal = self.core.behind().unwrap_or(true).then(|| self.follower.rest.get().max(now().after(APPLY_PACE)));
        journal.into_iter().chain(self.core.due().ok().flatten().map(later)).min()
    }
}

async fn apply(kv: &KvStore, (name, value): &Write) -> Result<()> {
    match value {
        Some(value) => kv.put_bytes(name, value)?.execute().await?,
        None => kv.delete(name).await?,
    }
    Ok(())
}

fn hang_up(socket: &WebSocket) {
    let _ = socket.close(Some(1008), Some("the token is not valid any more"));
}

fn failed(fault: impl std::fmt::Display) -> ::worker::Error {
    ::worker::Error::RustError(fault.to_string())
}

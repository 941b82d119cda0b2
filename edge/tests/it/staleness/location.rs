//! One location: its own way to the Ledger, its own memory of KV, and the real router over both.

use super::{
    kv::{Cache, Kv},
    step::Link,
};
use crate::world::{Answer, NOW};
use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header},
    response::{IntoResponse, Response},
};
use drawbridge_edge::{
    api::{Platform, Unreachable, router},
    command::{Call, Outcome, Reply},
    ledger::{Effects, Ledger},
    names::Listed,
    problem::Failure,
    rows::Memory,
    secrets::Secrets,
};
use drawbridge_shared::time::Timestamp;
use http_body_util::BodyExt;
use serde_json::Value;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use tower_service::Service;

/// What all locations have in common.
pub(super) struct Common {
    pub(super) ledger: Mutex<Ledger<Memory>>,
    pub(super) kv: Mutex<Kv>,
    /// Every manifest that was ever published, in order.
    pub(super) published: Mutex<Vec<String>>,
    now: AtomicU64,
    random: AtomicU64,
}

/// One of them.
#[derive(Clone)]
pub(super) struct Location(Arc<Inner>);

struct Inner {
    common: Arc<Common>,
    cache: Mutex<Cache>,
    link: Mutex<Link>,
}

impl Common {
    pub(super) fn new(secrets: Result<Secrets, Vec<String>>) -> Self {
        Self {
            ledger: Mutex::new(Ledger::new(Memory::default(), secrets)),
            kv: Mutex::default(),
            published: Mutex::default(),
            now: AtomicU64::new(NOW),
            random: AtomicU64::new(1),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.now.load(Relaxed))
    }

    pub(super) fn wait(&self, seconds: u64) {
        self.now.fetch_add(seconds, Relaxed);
    }

    pub(super) fn note(&self, effects: Effects) {
        self.published.lock().unwrap().extend(effects.published);
    }

    pub(super) fn write(&self, name: &str, value: Option<Vec<u8>>) -> Result<(), ()> {
        self.kv.lock().unwrap().write(name, value, self.now().as_unix())
    }
}

impl Location {
    pub(super) fn new(common: Arc<Common>) -> Self {
        Self(Arc::new(Inner { common, cache: Mutex::default(), link: Mutex::new(Link::Up) }))
    }

    pub(super) fn link(&self) -> Link {
        *self.0.link.lock().unwrap()
    }

    pub(super) fn set(&self, link: Link) {
        *self.0.link.lock().unwrap() = link;
    }

    pub(super) fn forget(&self) {
        *self.0.cache.lock().unwrap() = Cache::default();
    }

    /// Whoever is refused gets the contract's problem; whoever has to wait is told for how long.
    pub(super) async fn call(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> Answer {
        let request = Request::builder().method(method).uri(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        let request = match body {
            Some(body) => request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        let mut router: Router = router(self.clone());
        let (parts, body) = router.call(request.unwrap()).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        let answer = Answer { status: parts.status, headers: parts.headers, body };
        if answer.status.as_u16() >= 400 {
            answer.problem();
        }
        assert_eq!(answer.status == StatusCode::SERVICE_UNAVAILABLE, !answer.header("retry-after").is_empty());
        answer
    }
}

impl Platform for Location {
    async fn ledger(&self, call: Call) -> Result<Reply, Unreachable> {
        let (common, link) = (&self.0.common, self.link());
        if link == Link::Down {
            return Err(Unreachable("the call did not arrive".into()));
        }
        let (reply, effects) = common.ledger.lock().unwrap().call(call, common.now());
        common.note(effects);
        if link == Link::Deaf { Err(Unreachable("the answer was lost".into())) } else { Ok(reply) }
    }

    async fn feed(&self, call: Call) -> Result<Response, Failure> {
        match self.ledger(call).await?? {
            Outcome::Manifest { text, .. } => Ok((StatusCode::SWITCHING_PROTOCOLS, text).into_response()),
            other => panic!("{other:?}"),
        }
    }

    async fn kv_get(&self, name: &str) -> Result<Option<Vec<u8>>, Unreachable> {
        let kv = self.0.common.kv.lock().unwrap();
        Ok(self.0.cache.lock().unwrap().get(&kv, name, self.now().as_unix()))
    }

    async fn kv_list(&self, prefix: &str, _: Option<String>) -> Result<Listed, Unreachable> {
        let kv = self.0.common.kv.lock().unwrap();
        Ok((self.0.cache.lock().unwrap().list(&kv, prefix, self.now().as_unix()), None))
    }

    async fn openapi(&self) -> Result<Vec<u8>, Unreachable> {
        Err(Unreachable("nobody asks for it here".into()))
    }

    fn now(&self) -> Timestamp {
        self.0.common.now()
    }

    fn random(&self) -> Result<[u8; 32], Unreachable> {
        let seed = self.0.common.random.fetch_add(1, Relaxed);
        Ok(std::array::from_fn(|i| (seed >> (i % 8 * 8)) as u8))
    }

    fn log(&self, _: &str) {}
}

//! One edge in a box: its own clock, its own KV, a Ledger that can be cut off.

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode, header},
    response::{IntoResponse, Response},
};
use drawbridge_edge::{
    api::{Platform, Unreachable, router},
    command::{Call, Outcome, Reply},
    ledger::{Effects, Ledger},
    names::Listed,
    problem::Failure,
    rows::{Changes, Memory, Rows, RowsFault},
    secrets::{HOST_CA_KEY, NEXT_SIGNING_KEY, OPERATOR_TOKEN, SIGNING_KEY, Secrets},
};
use drawbridge_shared::{
    api::{MintedToken, Problem},
    id::SnapshotSeq,
    signed::TrustRoots,
    snapshot::{Family, Manifest},
    time::Timestamp,
    token::{Scope, Token},
};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use ssh_key::{LineEnding, PrivateKey, private::Ed25519Keypair};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tower_service::Service;

/// Where everything stands in these tests.
pub(crate) const NOW: u64 = 1_800_000_000;

#[derive(Clone)]
pub(crate) struct Local(Arc<Inner>);

struct Inner {
    rows: Kept,
    ledger: Mutex<Ledger<Kept>>,
    kv: Mutex<BTreeMap<String, Vec<u8>>>,
    down: AtomicBool,
    now: AtomicU64,
    random: AtomicU64,
    log: Mutex<Vec<String>>,
    effects: Mutex<Vec<Effects>>,
}

/// Rows that outlive a Ledger, as a Durable Object's do.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Memory>>);

impl Rows for Kept {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, RowsFault> {
        self.0.lock().unwrap().get(name)
    }

    fn scan(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<(String, Vec<u8>)>, RowsFault> {
        self.0.lock().unwrap().scan(prefix, after, limit)
    }

    fn commit(&self, changes: Changes) -> Result<(), RowsFault> {
        self.0.lock().unwrap().commit(changes)
    }
}

impl Platform for Local {
    async fn ledger(&self, call: Call) -> Result<Reply, Unreachable> {
        if self.0.down.load(Relaxed) {
            return Err(Unreachable("cut off by the test".into()));
        }
        let (reply, effects) = self.0.ledger.lock().unwrap().call(call, self.now());
        self.0.effects.lock().unwrap().push(effects);
        Ok(reply)
    }

    async fn feed(&self, call: Call) -> Result<Response, Failure> {
        match self.ledger(call).await?? {
            Outcome::Manifest { text, .. } => Ok((StatusCode::SWITCHING_PROTOCOLS, text).into_response()),
            other => panic!("{other:?}"),
        }
    }

    async fn kv_get(&self, name: &str) -> Result<Option<Vec<u8>>, Unreachable> {
        Ok(self.0.kv.lock().unwrap().get(name).cloned())
    }

    /// A page in front of each name is empty, as where names were deleted.
    async fn kv_list(&self, prefix: &str, cursor: Option<String>) -> Result<Listed, Unreachable> {
        let kv = self.0.kv.lock().unwrap();
        let page: usize = cursor.map_or(0, |cursor| cursor.parse().unwrap());
        let names: Vec<_> = kv.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
        let next = (page < 2 * names.len()).then(|| (page + 1).to_string());
        Ok((names.into_iter().skip(page / 2).take(page % 2).collect(), next))
    }

    async fn openapi(&self) -> Result<Vec<u8>, Unreachable> {
        Ok(include_bytes!("../../assets/api/openapi.json").to_vec())
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.0.now.load(Relaxed))
    }

    fn random(&self) -> Result<[u8; 32], Unreachable> {
        let seed = self.0.random.fetch_add(1, Relaxed);
        Ok(std::array::from_fn(|i| (seed >> (i % 8 * 8)) as u8))
    }

    fn log(&self, line: &str) {
        self.0.log.lock().unwrap().push(line.into());
    }
}

pub(crate) struct World {
    pub(crate) local: Local,
    router: Router,
    pub(crate) operator: String,
    pub(crate) signing: PrivateKey,
    pub(crate) host_ca: PrivateKey,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

fn pem(key: &PrivateKey) -> String {
    key.to_openssh(LineEnding::LF).unwrap().to_string()
}

fn secrets(all: &[(&str, &str)]) -> Result<Secrets, Vec<String>> {
    Secrets::read(&|name: &str| all.iter().find(|(set, _)| *set == name).map(|(_, value)| value.to_string()))
}

fn operator() -> String {
    Token::mint(Scope::Operator, &[0xEE; 32]).expose().to_string()
}

impl World {
    pub(crate) fn new() -> Self {
        let (operator, signing, host_ca) = (operator(), pem(&key(1)), pem(&key(0xCA)));
        Self::with(secrets(&[(OPERATOR_TOKEN, &operator), (SIGNING_KEY, &signing), (HOST_CA_KEY, &host_ca)]))
    }

    pub(crate) fn without_host_ca() -> Self {
        Self::with(secrets(&[(OPERATOR_TOKEN, &operator()), (SIGNING_KEY, &pem(&key(1)))]))
    }

    pub(crate) fn without_secrets() -> Self {
        Self::with(secrets(&[(OPERATOR_TOKEN, &operator()), (SIGNING_KEY, "garbage")]))
    }

    /// The same rows under other signing keys, the current one first: what a new deployment does.
    pub(crate) fn roll(&self, seeds: &[u8]) {
        let (operator, keys): (_, Vec<_>) = (operator(), seeds.iter().map(|seed| pem(&key(*seed))).collect());
        let names = [SIGNING_KEY, NEXT_SIGNING_KEY];
        let mut all = vec![(OPERATOR_TOKEN, operator.as_str())];
        all.extend(names.into_iter().zip(keys.iter().map(String::as_str)));
        let rows = self.local.0.rows.clone();
        *self.local.0.ledger.lock().unwrap() = Ledger::new(rows, secrets(&all));
    }

    fn with(secrets: Result<Secrets, Vec<String>>) -> Self {
        let rows = Kept::default();
        let local = Local(Arc::new(Inner {
            ledger: Mutex::new(Ledger::new(rows.clone(), secrets)),
            rows,
            kv: Mutex::default(),
            down: AtomicBool::new(false),
            now: AtomicU64::new(NOW),
            random: AtomicU64::new(1),
            log: Mutex::default(),
            effects: Mutex::default(),
        }));
        Self { router: router(local.clone()), local, operator: operator(), signing: key(1), host_ca: key(0xCA) }
    }

    /// Sends a request; whatever fails is checked against the contract.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let head = request.method() == Method::HEAD;
        let response = self.router.clone().call(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        let answer = Answer { status: parts.status, headers: parts.headers, body };
        if (answer.status.is_client_error() || answer.status.is_server_error()) && !head {
            answer.problem();
        }
        answer
    }

    pub(crate) async fn call(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> Answer {
        let request = Request::builder().method(method).uri(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        let request = match body {
            Some(body) => request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        self.send(request.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.call("GET", path, token, None).await
    }

    pub(crate) async fn get_if_none_match(&self, path: &str, token: &str, etag: &str) -> Answer {
        let request = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        self.send(request.header(header::IF_NONE_MATCH, etag).body(Body::empty()).unwrap()).await
    }

    /// Calls as the first operator.
    pub(crate) async fn operate(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.call(method, &format!("/api/operator{path}"), &self.operator, body).await
    }

    pub(crate) async fn mint(&self, scope: &str, subject: &str) -> MintedToken {
        let answer = self.operate("POST", "/tokens", Some(json!({ "scope": scope, "subject": subject }))).await;
        assert_eq!(answer.status, 201);
        answer.json()
    }

    pub(crate) async fn token(&self, scope: &str, subject: &str) -> String {
        self.mint(scope, subject).await.token
    }

    pub(crate) async fn workspace(&self, id: &str, region: &str, members: &[&str]) {
        let answer = self.operate("PUT", &format!("/workspaces/{id}"), Some(json!({ "region": region }))).await;
        assert_eq!(answer.status, 201);
        for user in members {
            assert_eq!(self.operate("PUT", &format!("/workspaces/{id}/members/{user}"), None).await.status, 204);
        }
    }

    pub(crate) async fn add_key(&self, token: &str, seed: u8) -> Answer {
        self.call("POST", "/api/ssh/keys", token, Some(json!({ "publicKey": line(seed) }))).await
    }

    pub(crate) fn trust(&self) -> TrustRoots {
        self.signing.public_key().to_openssh().unwrap().parse().unwrap()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.local.now()
    }

    pub(crate) fn pass_time(&self, span: Duration) {
        self.local.0.now.fetch_add(span.as_secs(), Relaxed);
    }

    pub(crate) fn cut_off_the_ledger(&self) {
        self.local.0.down.store(true, Relaxed);
    }

    /// What the Durable Object's alarm does.
    pub(crate) fn tick(&self) -> Effects {
        self.local.0.ledger.lock().unwrap().tick(self.now()).unwrap()
    }

    /// Everything published so far, in order.
    pub(crate) fn published(&self) -> Vec<String> {
        self.local.0.effects.lock().unwrap().iter().filter_map(|effects| effects.published.clone()).collect()
    }

    pub(crate) fn log(&self) -> String {
        self.local.0.log.lock().unwrap().join("\n")
    }

    /// Lets KV catch up.
    pub(crate) fn apply(&self) {
        let ledger = self.local.0.ledger.lock().unwrap();
        while let Some(pass) = ledger.next_pass().unwrap() {
            let mut kv = self.local.0.kv.lock().unwrap();
            for (name, value) in pass.iter().flatten().cloned() {
                match value {
                    Some(value) => kv.insert(name, value),
                    None => kv.remove(&name),
                };
            }
            ledger.applied(&pass).unwrap();
        }
    }

    pub(crate) fn kv(&self) -> BTreeMap<String, Vec<u8>> {
        self.local.0.kv.lock().unwrap().clone()
    }

    /// The manifest, verified as a daemon would.
    pub(crate) async fn manifest(&self) -> Manifest {
        let answer = self.get("/v1/snapshot", &self.operator).await;
        assert_eq!(answer.status, 200);
        self.verify(&answer.text())
    }

    pub(crate) fn verify(&self, text: &str) -> Manifest {
        Manifest::verify(text, &self.trust(), self.now(), SnapshotSeq(0), Duration::ZERO).unwrap()
    }

    /// A shard's bytes, checked against the manifest; `None` when the manifest does not name it.
    pub(crate) async fn shard(&self, manifest: &Manifest, family: Family, id: u8) -> Option<Vec<u8>> {
        let shard = manifest.shards.iter().find(|shard| (shard.family, shard.id) == (family, id))?;
        let answer = self.get(&format!("/v1/snapshot/blob/{}", shard.sha256), &self.operator).await;
        assert_eq!(answer.status, 200);
        shard.check(&answer.body).unwrap();
        Some(answer.body)
    }
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|fault| panic!("{fault}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The contract's error body, whatever went wrong.
    pub(crate) fn problem(&self) -> Problem {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        let problem: Problem = self.json();
        assert_eq!(problem.status, self.status.as_u16());
        assert!(!problem.title.is_empty());
        assert_eq!(problem.trace_id.len(), 16);
        if self.status == StatusCode::UNAUTHORIZED {
            assert_eq!(self.header("www-authenticate"), "Bearer");
        }
        problem
    }
}

pub(crate) fn key(seed: u8) -> PrivateKey {
    Ed25519Keypair::from_seed(&[seed; 32]).into()
}

/// A public key line with a comment.
pub(crate) fn line(seed: u8) -> String {
    format!("{} key-{seed}", key(seed).public_key().to_openssh().unwrap())
}

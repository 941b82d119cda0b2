//! One history: every step is carried out by the real code and by the model, and the answers are compared.

use super::{
    follower::{Follower, fingerprint, public_line, user_id, workspace_id},
    location::{Common, Location},
    model::Model,
    pass::Pass,
    step::{Ask, Link, PLACES, Place, Step, USERS},
};
use crate::world::Answer;
use drawbridge_edge::secrets::{OPERATOR_TOKEN, SIGNING_KEY, Secrets};
use drawbridge_shared::{
    api::KeyItem,
    signed::TrustRoots,
    token::{Scope, Token},
};
use serde_json::{Value, json};
use ssh_key::{LineEnding, PrivateKey, private::Ed25519Keypair};
use std::{collections::BTreeSet, sync::Arc};
use tokio::runtime::{Builder, Runtime};

/// The world of one history.
pub(super) struct History {
    pub(super) common: Arc<Common>,
    pub(super) locations: Vec<Location>,
    pub(super) model: Model,
    pub(super) daemon: Follower,
    pub(super) users: Vec<String>,
    operator: String,
    pub(super) pass: Option<Pass>,
    runtime: Runtime,
}

impl History {
    /// Tokens are minted, and KV knows them.
    pub(super) fn begin() -> Self {
        let operator = Token::mint(Scope::Operator, &[0xEE; 32]).expose().to_string();
        let signing: PrivateKey = Ed25519Keypair::from_seed(&[1; 32]).into();
        let trust: TrustRoots = signing.public_key().to_openssh().unwrap().parse().unwrap();
        let common = Arc::new(Common::new(secrets(&operator, &signing)));
        let mut history = Self {
            locations: (0..PLACES).map(|_| Location::new(common.clone())).collect(),
            common,
            model: Model::default(),
            daemon: Follower::new(String::new(), trust.clone()),
            users: Vec::new(),
            operator,
            pass: None,
            runtime: Builder::new_current_thread().build().unwrap(),
        };
        history.users = (0..USERS).map(|user| history.mint("user", user_id(user).as_str())).collect();
        history.daemon = Follower::new(history.mint("daemon", "eu-1"), trust);
        history.let_kv_follow();
        history
    }

    fn mint(&self, scope: &str, subject: &str) -> String {
        let body = json!({ "scope": scope, "subject": subject });
        let answer = self.call(Place(0), "POST", "/api/operator/tokens", &self.operator, Some(body));
        answer.json::<Value>()["token"].as_str().unwrap().to_owned()
    }

    pub(super) fn step(&mut self, step: &Step) {
        match *step {
            Step::Ask(place, Ask::ListKeys { user }) => self.list(place, user),
            Step::Ask(place, ref ask) => self.change(place, ask),
            Step::Link(place, link) => self.at(place).set(link),
            Step::Forget(place) => self.at(place).forget(),
            Step::Fetch(place) => self.fetch(place),
            Step::Take(place, nth) => self.take(place, nth),
            Step::Pass => self.begin_pass(),
            Step::Write { nth, fails, lands } => self.write(nth, fails, lands),
            Step::Finish => self.finish_pass(),
            Step::Cut => self.pass = None,
            Step::Tick => self.tick(),
            Step::Wait(seconds) => self.common.wait(seconds),
        }
    }

    pub(super) fn at(&self, place: Place) -> &Location {
        &self.locations[usize::from(place.0)]
    }

    fn call(&self, place: Place, method: &str, path: &str, token: &str, body: Option<Value>) -> Answer {
        self.runtime.block_on(self.at(place).call(method, path, token, body))
    }

    /// The number of the newest manifest.
    pub(super) fn last(&self) -> u64 {
        self.common.published.lock().unwrap().last().map_or(0, |text| number(text))
    }

    /// Acknowledged exactly when it was possible; refused with 503, it was done whole or not at all.
    fn change(&mut self, place: Place, ask: &Ask) {
        let (last, link) = (self.last(), self.at(place).link());
        let (method, path, token, body) = self.request(ask);
        let answer = self.call(place, method, &path, &token, body);
        let done = if link == Link::Down { 503 } else { self.model.carry_out(ask, last) };
        let expected = if link == Link::Up { done } else { 503 };
        assert_eq!(answer.status.as_u16(), expected, "{ask:?}: {}", answer.text());
    }

    fn request(&self, ask: &Ask) -> (&'static str, String, String, Option<Value>) {
        let operate =
            |method, path: String, body| (method, format!("/api/operator/workspaces/{path}"), self.operator.clone(), body);
        let member =
            |workspace, user| format!("{}/members/{}", workspace_id(workspace), user_id(user).as_str().replace('/', "%2F"));
        let token = |user: u8| self.users[usize::from(user)].clone();
        let keys = "/api/ssh/keys".to_owned();
        match *ask {
            Ask::AddKey { user, key } => ("POST", keys, token(user), Some(json!({ "publicKey": public_line(key) }))),
            Ask::RemoveKey { user, key } => {
                ("DELETE", keys, token(user), Some(json!({ "publicKeyFingerprint": fingerprint(key).to_string() })))
            }
            Ask::ListKeys { user } => ("GET", keys, token(user), None),
            Ask::PutWorkspace { workspace } => {
                operate("PUT", workspace_id(workspace).to_string(), Some(json!({ "region": "eu" })))
            }
            Ask::DeleteWorkspace { workspace } => operate("DELETE", workspace_id(workspace).to_string(), None),
            Ask::PutMember { workspace, user } => operate("PUT", member(workspace, user), None),
            Ask::DeleteMember { workspace, user } => operate("DELETE", member(workspace, user), None),
        }
    }

    /// One's own writes while the Ledger answers; marked as stale, and never made up, while it does not.
    fn list(&self, place: Place, user: u8) {
        let answer = self.list_answer(place, user);
        let fresh = self.at(place).link() == Link::Up;
        assert_eq!((answer.status.as_u16(), stale(&answer)), (200, !fresh), "{}", answer.text());
        let listed = listed(&answer);
        if fresh {
            assert_eq!(listed, self.model.now().keys_of(user));
        } else {
            assert!(listed.iter().all(|key| self.model.ever((*key, user))), "a key that never was: {listed:?}");
        }
    }

    pub(super) fn list_answer(&self, place: Place, user: u8) -> Answer {
        self.call(place, "GET", "/api/ssh/keys", &self.users[usize::from(user)], None)
    }

    /// The newest while the Ledger answers, even one that it makes now; otherwise one that was published, and marked.
    fn fetch(&mut self, place: Place) {
        let answer = self.call(place, "GET", "/v1/snapshot", self.daemon.token(), None);
        let fresh = self.at(place).link() == Link::Up;
        if answer.status == 503 && !fresh {
            return;
        }
        assert_eq!((answer.status.as_u16(), stale(&answer)), (200, !fresh), "{}", answer.text());
        let text = answer.text();
        assert!(self.common.published.lock().unwrap().contains(&text), "a manifest that was not published");
        assert!(!fresh || number(&text) == self.last());
        self.deliver(place, &text);
    }

    fn take(&mut self, place: Place, nth: usize) {
        let published = self.common.published.lock().unwrap().clone();
        if !published.is_empty() {
            self.deliver(place, &published[nth % published.len()]);
        }
    }

    /// Whatever comes in whatever order: the daemon's number never falls, and each view is what was so at that number.
    pub(super) fn deliver(&mut self, place: Place, text: &str) {
        let before = self.daemon.seq();
        let (location, now) = (self.at(place).clone(), self.common.now());
        let taken = self.runtime.block_on(self.daemon.take(text, &location, now));
        assert!(self.daemon.seq() >= before);
        if let Some((seq, facts)) = taken {
            assert_eq!(facts, self.model.at(seq), "manifest {seq}");
        }
    }

    pub(super) fn tick(&self) {
        let effects = self.common.ledger.lock().unwrap().tick(self.common.now()).unwrap();
        self.common.note(effects);
    }
}

fn secrets(operator: &str, signing: &PrivateKey) -> Result<Secrets, Vec<String>> {
    let pem = signing.to_openssh(LineEnding::LF).unwrap();
    Secrets::read(&|name: &str| match name {
        OPERATOR_TOKEN => Some(operator.into()),
        SIGNING_KEY => Some(pem.to_string()),
        _ => None,
    })
}

/// Whether the answer says that it may be behind.
pub(super) fn stale(answer: &Answer) -> bool {
    answer.header("drawbridge-stale") == "true"
}

/// The keys in a list, by number.
pub(super) fn listed(answer: &Answer) -> BTreeSet<u8> {
    let number = |item: &KeyItem| (0..super::step::KEYS).find(|key| fingerprint(*key) == item.public_key_fingerprint).unwrap();
    answer.json::<Vec<KeyItem>>().iter().map(number).collect()
}

/// A manifest's number, unchecked.
fn number(text: &str) -> u64 {
    let payload: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    payload["seq"].as_u64().unwrap()
}

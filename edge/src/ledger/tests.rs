//! Random histories against a model: what is acknowledged is published, and KV catches up wherever it was cut off.

use super::*;
use crate::{
    command::{AgentCommand, OperatorCommand, SnapshotCommand, UserCommand},
    limits::{DOCUMENT_AGE, GARBAGE_BYTES},
    names,
    refusal::Thing,
    rows::{Changes, Memory},
    secrets::{OPERATOR_TOKEN, SIGNING_KEY},
};
use drawbridge_shared::{
    fingerprint::Fingerprint,
    id::{SnapshotSeq, UserId, WorkspaceId},
    signed::TrustRoots,
    snapshot::{
        Family, Manifest,
        key_shard::{KeyShard, UserHash},
        workspace_shard,
    },
    token::Token,
};
use ssh_key::{LineEnding, PrivateKey, private::Ed25519Keypair};
use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Rows that fail when told to, and count how often they are asked.
#[derive(Default)]
struct Flaky {
    rows: Memory,
    broken: Cell<bool>,
    reads: Cell<usize>,
}

impl Rows for Flaky {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, RowsFault> {
        self.reads.update(|reads| reads + 1);
        self.rows.get(name)
    }

    fn scan(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<(String, Vec<u8>)>, RowsFault> {
        self.reads.update(|reads| reads + 1);
        self.rows.scan(prefix, after, limit)
    }

    fn commit(&self, changes: Changes) -> Result<(), RowsFault> {
        if self.broken.get() { Err(RowsFault("full".into())) } else { self.rows.commit(changes) }
    }
}

/// The Ledger, a KV behind it, and what both should say.
struct History {
    ledger: Ledger<Flaky>,
    operator: TokenHash,
    users: Vec<(UserId, TokenHash)>,
    trust: TrustRoots,
    now: Timestamp,
    seq: SnapshotSeq,
    kv: BTreeMap<String, Vec<u8>>,
    keys: BTreeSet<(Fingerprint, UserId)>,
    members: BTreeMap<WorkspaceId, BTreeSet<UserId>>,
    chance: u64,
}

impl History {
    fn new(seed: u64) -> Self {
        let token = Token::mint(Scope::Operator, &[1; 32]);
        let key: PrivateKey = Ed25519Keypair::from_seed(&[1; 32]).into();
        let pem = key.to_openssh(LineEnding::LF).unwrap();
        let secrets = Secrets::read(&|name: &str| match name {
            OPERATOR_TOKEN => Some(token.expose().into()),
            SIGNING_KEY => Some(pem.to_string()),
            _ => None,
        });
        let mut history = Self {
            ledger: Ledger::new(Flaky::default(), secrets),
            operator: token.hash(),
            users: Vec::new(),
            trust: key.public_key().to_openssh().unwrap().parse().unwrap(),
            now: Timestamp::from_unix(1_800_000_000),
            seq: SnapshotSeq(0),
            kv: BTreeMap::new(),
            keys: BTreeSet::new(),
            members: BTreeMap::new(),
            chance: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        };
        (0..3).for_each(|number| history.meet_user(number));
        history
    }

    fn meet_user(&mut self, number: u8) {
        let (hash, user) = (Token::mint(Scope::User, &[number; 32]).hash(), format!("user/{number}"));
        let command = OperatorCommand::PutToken { hash, scope: Scope::User, subject: user.clone(), expires_at: None };
        self.operate(command).unwrap();
        self.users.push((user.parse().unwrap(), hash));
    }

    /// xorshift64: enough to wander with.
    fn choose(&mut self, from: u64) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance % from
    }

    fn call(&self, token: TokenHash, command: impl Into<Command>) -> Reply {
        self.ledger.call(Call { token, command: command.into() }, self.now).0
    }

    fn operate(&self, command: OperatorCommand) -> Reply {
        self.call(self.operator, command)
    }

    fn step(&mut self) {
        match self.choose(12) {
            0..=3 => self.add_key(),
            4..=5 => self.remove_key(),
            6 => self.put_workspace(),
            7 => self.delete_workspace(),
            8 => self.put_member(),
            9 => self.delete_member(),
            10 => self.pass_time(),
            _ => self.fail_once(),
        }
        if self.choose(3) == 0 {
            self.follow_a_little();
        }
    }

    fn any_user(&mut self) -> (UserId, TokenHash) {
        let at = self.choose(self.users.len() as u64) as usize;
        self.users[at].clone()
    }

    /// Few enough to collide, in two shards.
    fn any_fingerprint(&mut self) -> Fingerprint {
        let number = self.choose(6) as u8;
        Fingerprint(std::array::from_fn(|i| if i == 0 { number % 2 } else { number }))
    }

    fn any_workspace(&mut self) -> WorkspaceId {
        format!("w{}", self.choose(3)).parse().unwrap()
    }

    fn add_key(&mut self) {
        let ((user, token), fingerprint) = (self.any_user(), self.any_fingerprint());
        let command =
            UserCommand::AddKey { fingerprint, line: "ssh-ed25519 AAAA".into(), title: "title".into(), expires_at: None };
        let reply = self.call(token, command);
        let new = self.keys.insert((fingerprint, user));
        assert!(if new { matches!(reply, Ok(Outcome::Key(_))) } else { reply == Err(Refusal::KeyExists) }, "{reply:?}");
    }

    fn remove_key(&mut self) {
        let ((user, token), fingerprint) = (self.any_user(), self.any_fingerprint());
        let reply = self.call(token, UserCommand::RemoveKey(fingerprint));
        let expected = self.keys.remove(&(fingerprint, user)).then_some(Outcome::Done).ok_or(Refusal::NotFound(Thing::Key));
        assert_eq!(reply, expected);
    }

    fn put_workspace(&mut self) {
        let id = self.any_workspace();
        let region = format!("r{}", self.choose(2));
        let Ok(Outcome::Workspace(put)) = self.operate(OperatorCommand::PutWorkspace { id: id.clone(), region }) else {
            panic!()
        };
        assert_eq!(put.created, !self.members.contains_key(&id));
        self.members.entry(id).or_default();
    }

    fn delete_workspace(&mut self) {
        let id = self.any_workspace();
        let reply = self.operate(OperatorCommand::DeleteWorkspace(id.clone()));
        let expected = self.members.remove(&id).map(|_| Outcome::Done).ok_or(Refusal::NotFound(Thing::Workspace));
        assert_eq!(reply, expected);
    }

    fn put_member(&mut self) {
        let (id, (user, _)) = (self.any_workspace(), self.any_user());
        let reply = self.operate(OperatorCommand::PutMember(id.clone(), user.clone()));
        let expected = self.members.get_mut(&id).map(|members| members.insert(user));
        assert_eq!(reply, expected.map(|_| Outcome::Done).ok_or(Refusal::NotFound(Thing::Workspace)));
    }

    fn delete_member(&mut self) {
        let (id, (user, _)) = (self.any_workspace(), self.any_user());
        let reply = self.operate(OperatorCommand::DeleteMember(id.clone(), user.clone()));
        let there = self.members.get_mut(&id).is_some_and(|members| members.remove(&user));
        assert_eq!(reply, there.then_some(Outcome::Done).ok_or(Refusal::NotFound(Thing::Member)));
    }

    fn pass_time(&mut self) {
        self.now = self.now.after(Duration::from_secs(self.choose(1200)));
        self.ledger.tick(self.now).unwrap();
    }

    /// A command whose commit fails is refused and leaves nothing behind; the checks that follow see to it.
    fn fail_once(&mut self) {
        let (token, fingerprint) = (self.users[0].1, Fingerprint([0xff; 32]));
        self.ledger.rows.broken.set(true);
        let command =
            UserCommand::AddKey { fingerprint, line: "ssh-ed25519 AAAA".into(), title: String::new(), expires_at: None };
        assert!(matches!(self.call(token, command), Err(Refusal::Storage(_))));
        self.ledger.rows.broken.set(false);
    }

    /// One pass to KV, cut off anywhere.
    fn follow_a_little(&mut self) {
        let Some(pass) = self.ledger.next_pass().unwrap() else { return };
        let all: Vec<_> = pass.iter().flatten().cloned().collect();
        let done = self.choose(all.len() as u64 + 1) as usize;
        for (name, value) in all.iter().take(done).cloned() {
            self.write(name, value);
        }
        if done == all.len() {
            self.ledger.applied(&pass).unwrap();
        }
    }

    fn write(&mut self, name: String, value: Option<Vec<u8>>) {
        match value {
            Some(value) => self.kv.insert(name, value),
            None => self.kv.remove(&name),
        };
        self.check_kv();
    }

    /// Whatever manifest KV has, it has its shards too.
    fn check_kv(&self) {
        let Some(text) = self.kv.get(names::MANIFEST) else { return };
        let manifest = Manifest::verify(std::str::from_utf8(text).unwrap(), &self.trust, self.now, SnapshotSeq(0), Duration::MAX);
        for shard in manifest.unwrap().shards {
            shard.check(&self.kv[&names::blob(shard.sha256)]).unwrap();
        }
    }

    /// The manifest says exactly what was acknowledged.
    fn check_snapshot(&mut self) {
        let reply = self.call(self.operator, SnapshotCommand::Manifest { held: None });
        let Ok(Outcome::Manifest { text, .. }) = reply else { panic!("{reply:?}") };
        let manifest = Manifest::verify(&text, &self.trust, self.now, self.seq, Duration::ZERO).unwrap();
        self.seq = manifest.seq;
        let mut keys = BTreeSet::new();
        let mut workspaces = BTreeMap::new();
        for shard in &manifest.shards {
            let Ok(Outcome::Blob(bytes)) = self.call(self.operator, SnapshotCommand::Blob(shard.sha256)) else { panic!() };
            shard.check(&bytes).unwrap();
            match shard.family {
                Family::Keys => self.collect_keys(&KeyShard::open(shard.id, bytes).unwrap(), &mut keys),
                Family::Workspaces => {
                    workspaces.extend(workspace_shard::open(shard.id, &bytes).unwrap().into_iter().map(|w| (w.id, w.members)))
                }
                Family::Daemons => panic!("there are none"),
            }
        }
        let expected: BTreeSet<_> = self.keys.iter().map(|(fingerprint, user)| (*fingerprint, UserHash::of(user))).collect();
        assert_eq!(keys, expected);
        let expected = self.members.iter().map(|(id, members)| (id.clone(), members.iter().cloned().collect()));
        assert_eq!(workspaces, expected.collect::<BTreeMap<_, Vec<_>>>());
    }

    fn collect_keys(&self, shard: &KeyShard<Vec<u8>>, keys: &mut BTreeSet<(Fingerprint, UserHash)>) {
        for number in 0..6_u8 {
            let fingerprint = Fingerprint(std::array::from_fn(|i| if i == 0 { number % 2 } else { number }));
            keys.extend(shard.users(&fingerprint, self.now).map(|user| (fingerprint, user)));
        }
    }

    /// Replaced shards that are kept, and how large they are.
    fn garbage(&self) -> (usize, u64) {
        let marks = self.ledger.rows.scan(names::GARBAGE, "", usize::MAX).unwrap();
        (marks.len(), marks.iter().filter_map(|(_, length)| change::number(length)).sum())
    }

    /// The same as it is kept.
    fn garbage_size(&self) -> u64 {
        Change::new(&self.ledger.rows, self.now).number(names::GARBAGE_SIZE).unwrap()
    }

    /// KV, left alone with the journal, ends with the Ledger's facts and no more; shards that came and went before it followed
    /// it may lack.
    fn settle(&mut self) {
        while let Some(pass) = self.ledger.next_pass().unwrap() {
            pass.iter().flatten().cloned().for_each(|(name, value)| self.write(name, value));
            self.ledger.applied(&pass).unwrap();
        }
        let own =
            |name: &str| [names::JOURNAL, names::GARBAGE, "x/", "u/", "l/", "y/"].iter().any(|folder| name.starts_with(folder));
        let rows = self.ledger.rows.scan("", "", usize::MAX).unwrap();
        let manifest = manifest::parse(&self.kv[names::MANIFEST]).unwrap();
        let named: Vec<_> = manifest.shards.iter().map(|shard| names::blob(shard.sha256)).collect();
        let lacks =
            |name: &str| name.starts_with("b/") && !named.iter().any(|shard| shard == name) && !self.kv.contains_key(name);
        let expected: BTreeMap<_, _> = rows.into_iter().filter(|(name, _)| !own(name) && !lacks(name)).collect();
        assert!(self.kv == expected, "{:?}, not {:?}", self.kv.keys(), expected.keys());
        assert!(!self.ledger.behind().unwrap());
    }
}

#[test]
fn any_history_ends_as_it_was_acknowledged() {
    for seed in 1..=60 {
        let mut history = History::new(seed);
        for _ in 0..80 {
            history.step();
            history.check_snapshot();
            assert_eq!(history.garbage().1, history.garbage_size());
        }
        history.settle();
    }
}

#[test]
fn a_change_during_a_pass_stays_in_the_journal() {
    let mut history = History::new(1);
    history.add_key();
    let pass = history.ledger.next_pass().unwrap().unwrap();
    history.now = history.now.after(Duration::from_secs(1));
    history.put_workspace();
    history.ledger.applied(&pass).unwrap();
    let left: Vec<_> = history.ledger.next_pass().unwrap().unwrap().into_iter().flatten().map(|(name, _)| name).collect();
    assert!(left.contains(&names::MANIFEST.to_string()));
    assert!(left.iter().all(|name| !name.starts_with("k/")), "{left:?}");
}

#[test]
fn a_long_journal_goes_in_order_of_its_stages() {
    let history = History::new(1);
    let (token, bound) = (history.users[0].1, crate::limits::APPLY_NAMES);
    let workspace = |number: usize| format!("bulk-{number}").parse::<WorkspaceId>().unwrap();
    for number in 0..bound {
        history.operate(OperatorCommand::PutWorkspace { id: workspace(number), region: "eu".into() }).unwrap();
    }
    history.call(token, UserCommand::ListKeys).unwrap();
    let [puts, manifest, deletes] = history.ledger.next_pass().unwrap().unwrap();
    assert_eq!((puts.len(), manifest.len(), deletes.len()), (bound, 0, 0));
    let mut passes = 0;
    while let Some(pass) = history.ledger.next_pass().unwrap() {
        history.ledger.applied(&pass).unwrap();
        passes += 1;
    }
    assert!(passes > 1);
}

#[test]
fn the_first_alarm_is_the_heartbeat() {
    let mut history = History::new(1);
    assert_eq!(history.ledger.due(), Ok(None));
    history.add_key();
    assert_eq!(history.ledger.due(), Ok(Some(history.now.after(HEARTBEAT))));
}

#[test]
fn only_followers_follow() {
    let history = History::new(1);
    assert!(history.ledger.may_follow(&history.operator, history.now));
    assert!(!history.ledger.may_follow(&history.users[0].1, history.now));
    assert!(!history.ledger.may_follow(&TokenHash([0; 32]), history.now));
}

/// An agent of a workspace with one member, and how it asks for its document: what it says, and how often the rows were read.
fn agent(history: &History) -> impl Fn(&History, Option<&str>) -> (Outcome, usize) + use<> {
    let (id, hash): (WorkspaceId, _) = ("796636".parse().unwrap(), Token::mint(Scope::Agent, &[9; 32]).hash());
    history.operate(OperatorCommand::PutWorkspace { id: id.clone(), region: "eu".into() }).unwrap();
    history.operate(OperatorCommand::PutMember(id.clone(), history.users[0].0.clone())).unwrap();
    let token = OperatorCommand::PutToken { hash, scope: Scope::Agent, subject: id.to_string(), expires_at: None };
    history.operate(token).unwrap();
    move |history, held| {
        let before = history.ledger.rows.reads.get();
        let outcome = history.call(hash, AgentCommand::Document { held: held.map(str::to_owned) }).unwrap();
        (outcome, history.ledger.rows.reads.get() - before)
    }
}

fn news(outcome: Outcome) -> String {
    match outcome {
        Outcome::Document { etag, .. } => etag,
        other => panic!("{other:?}"),
    }
}

fn add(history: &History, byte: u8, expires_at: Option<Timestamp>) {
    let fingerprint = Fingerprint([byte; 32]);
    let add = UserCommand::AddKey { fingerprint, line: "ssh-ed25519 AAAA".into(), title: "t".into(), expires_at };
    history.call(history.users[0].1, add).unwrap();
}

#[test]
fn what_is_unchanged_costs_no_reading() {
    let history = History::new(1);
    let ask = agent(&history);
    (0..100).for_each(|byte| add(&history, byte, None));
    let etag = news(ask(&history, None).0);
    for _ in 0..3 {
        assert_eq!(ask(&history, Some(&etag)), (Outcome::Unchanged { etag: etag.clone() }, 1), "the token alone");
    }
    assert!(ask(&history, Some("\"other\"")).1 > 1);
    let before = history.ledger.rows.reads.get();
    history.call(history.users[0].1, UserCommand::ListKeys).unwrap();
    assert_eq!(history.ledger.rows.reads.get() - before, 3, "the token, all keys, all uses");
}

/// By every way that a document changes.
#[test]
fn what_is_remembered_does_not_outlast_what_it_says() {
    let mut history = History::new(1);
    let ask = agent(&history);
    let mut etag = news(ask(&history, None).0);
    let mut is_news = |history: &History| {
        let fresh = news(ask(history, Some(&etag)).0);
        assert_ne!(fresh, etag);
        assert_eq!(ask(history, Some(&fresh)).0, Outcome::Unchanged { etag: fresh.clone() });
        etag = fresh;
    };
    add(&history, 1, None);
    is_news(&history);
    add(&history, 2, Some(history.now.after(Duration::from_secs(10))));
    is_news(&history);
    history.now = history.now.after(Duration::from_secs(10));
    is_news(&history);
    let workspace: WorkspaceId = "796636".parse().unwrap();
    let identity = "ssh-ed25519 AAAA".into();
    let daemon =
        OperatorCommand::PutDaemon { id: "eu-1".parse().unwrap(), identity, region: "eu".into(), addresses: vec!["a:1".into()] };
    history.operate(daemon).unwrap();
    is_news(&history);
    history.operate(OperatorCommand::PutWorkspace { id: workspace.clone(), region: "us".into() }).unwrap();
    is_news(&history);
    history.call(history.users[0].1, UserCommand::RemoveKey(Fingerprint([2; 32]))).unwrap();
    history.operate(OperatorCommand::DeleteMember(workspace, history.users[0].0.clone())).unwrap();
    is_news(&history);
    history.now = history.now.after(DOCUMENT_AGE);
    is_news(&history);
}

#[test]
fn too_many_replaced_shards_go_before_their_time() {
    let mut history = History::new(1);
    for byte in 0..3 {
        add(&history, byte, None);
        history.call(history.users[0].1, UserCommand::RemoveKey(Fingerprint([byte; 32]))).unwrap();
    }
    assert_eq!((history.garbage().0, history.garbage().1), (3, history.garbage_size()));
    let much = (names::GARBAGE_SIZE.into(), Some(GARBAGE_BYTES.to_string().into_bytes()));
    history.ledger.rows.commit(Changes::from([much])).unwrap();
    history.operate(OperatorCommand::PutWorkspace { id: "w0".parse().unwrap(), region: "eu".into() }).unwrap();
    assert_eq!(history.garbage().0, 3, "as much as there may be");
    history.operate(OperatorCommand::PutWorkspace { id: "w0".parse().unwrap(), region: "us".into() }).unwrap();
    assert_eq!(history.garbage().0, 0);
    assert!(history.garbage_size() < GARBAGE_BYTES);
    assert_eq!(history.ledger.rows.scan("b/", "", 9).unwrap().len(), 1, "the one that the manifest names");
    history.members.insert("w0".parse().unwrap(), BTreeSet::new());
    history.check_snapshot();
}

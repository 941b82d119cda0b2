//! Which documents are believed, who is let in and who stays, with the clock as it is and as it may be.

use super::*;
use drawbridge_shared::{
    authorized_keys::AuthorizedKey,
    native::{identity::Identity, refresh::GAP, slot::Slot, trust::Pinned},
    token::{Scope, Token},
};
use std::cell::Cell;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

struct Agent {
    root: tempfile::TempDir,
    keeper: Keeper,
    keys: Keys,
}

/// With the key of seed 1 pinned.
fn agent() -> Agent {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("trust"), key(1).public().to_line()).unwrap();
    let (keeper, keys) = open(&root);
    Agent { root, keeper, keys }
}

impl Agent {
    /// After what was taken is saved.
    fn restart(&mut self) {
        saved(&self.keeper).unwrap();
        (self.keeper, self.keys) = open(&self.root);
    }

    fn seq(&self) -> Option<u64> {
        self.keys.watch().borrow().as_ref().map(|document| document.seq.0)
    }
}

fn open(root: &tempfile::TempDir) -> (Keeper, Keys) {
    let state = StateDir::open(&root.path().join("state")).unwrap();
    let trust = Trust::open(Pinned::read(root.path().join("trust")).unwrap(), &state);
    let client = EdgeClient::new("http://127.0.0.1:1".parse().unwrap(), Token::mint(Scope::Agent, &[1; 32])).unwrap();
    let pace = Pace { poll: Duration::from_secs(1), grace: Duration::from_secs(60) };
    Keeper::open(client, trust, "796636".parse().unwrap(), state, pace)
}

/// What was taken, as whoever saves it does.
fn saved(keeper: &Keeper) -> Result<(), StateFault> {
    keeper.taken.borrow().as_ref().map_or(Ok(()), |taken| taken.save(&keeper.state))
}

fn key(seed: u8) -> Identity {
    Identity::from_seed(&[seed; 32])
}

fn document(seq: u64, issued_at: Timestamp) -> AuthorizedKeys {
    AuthorizedKeys {
        version: AuthorizedKeys::VERSION,
        workspace: "796636".parse().unwrap(),
        seq: SnapshotSeq(seq),
        issued_at,
        not_after: issued_at.after(Duration::from_secs(60)),
        keys: vec![AuthorizedKey { fingerprint: Fingerprint([1; 32]), user: "alice".parse().unwrap(), not_after: None }],
        daemons: vec![],
        signers: vec![],
    }
}

#[test]
fn a_good_document_decides_until_its_grace_is_over_and_outlives_a_restart() {
    let mut agent = agent();
    let now = clock::now();
    assert_eq!(agent.keys.user_of(&Fingerprint([1; 32]), now), None);
    agent.keeper.take(&document(4, now).sign(&[key(1).ssh()]).unwrap()).unwrap();
    let user = |after| agent.keys.user_of(&Fingerprint([1; 32]), now.after(Duration::from_secs(after)));
    assert!(user(0).is_some() && user(120).is_some());
    assert!(user(121).is_none());
    assert!(agent.keys.user_of(&Fingerprint([2; 32]), now).is_none());
    agent.restart();
    assert_eq!(agent.seq(), Some(4));
}

/// A folder in the file's place fails every save, and root's too.
#[test]
fn what_cannot_be_saved_is_in_force_all_the_same_and_saved_later() {
    let (mut agent, now) = (agent(), clock::now());
    let place = agent.keeper.state.path(DOCUMENT);
    std::fs::create_dir(&place).unwrap();
    assert!(without_news(&agent.keys.watch().borrow()).contains("nobody is let in"));
    for seq in [4, 5] {
        agent.keeper.take(&document(seq, now).sign(&[key(1).ssh()]).unwrap()).unwrap();
        assert_eq!(agent.seq(), Some(seq));
        assert!(agent.keys.user_of(&Fingerprint([1; 32]), now).is_some());
        assert!(saved(&agent.keeper).unwrap_err().to_string().contains(DOCUMENT));
    }
    assert!(without_news(&agent.keys.watch().borrow()).contains("last good one"));
    std::fs::remove_dir(&place).unwrap();
    agent.restart();
    assert_eq!(agent.seq(), Some(5));
}

#[test]
fn what_a_second_process_saved_is_not_put_back() {
    let (mut agent, now) = (agent(), clock::now());
    let (mut other, _) = open(&agent.root);
    let text = |seq| document(seq, now).sign(&[key(1).ssh()]).unwrap();
    other.take(&text(7)).unwrap();
    saved(&other).unwrap();
    agent.keeper.take(&text(6)).unwrap();
    assert_eq!(agent.seq(), Some(6));
    agent.restart();
    assert_eq!(agent.seq(), Some(7));
}

#[test]
fn a_key_ends_by_itself_while_its_document_goes_on() {
    let mut agent = agent();
    let now = clock::now();
    let mut ending = document(4, now);
    ending.keys[0].not_after = Some(now.after(Duration::from_secs(30)));
    agent.keeper.take(&ending.sign(&[key(1).ssh()]).unwrap()).unwrap();
    let user = |after| agent.keys.user_of(&Fingerprint([1; 32]), now.after(Duration::from_secs(after)));
    assert!(user(30).is_some());
    assert!(user(31).is_none());
}

#[test]
fn an_older_or_forged_document_changes_nothing() {
    let mut agent = agent();
    let now = clock::now();
    agent.keeper.take(&document(4, now).sign(&[key(1).ssh()]).unwrap()).unwrap();
    let older = document(3, now).sign(&[key(1).ssh()]).unwrap();
    let mut announcing = document(9, now);
    announcing.signers = vec![key(2).public().to_line()];
    let forged = announcing.sign(&[key(2).ssh()]).unwrap();
    for text in [older, forged.clone(), "hello".into(), forged] {
        assert!(matches!(agent.keeper.take(&text), Err(KeysFault::Document(_))));
    }
    assert_eq!(agent.seq(), Some(4));
}

#[test]
fn the_edges_key_is_rolled_while_the_agent_restarts() {
    let mut agent = agent();
    let now = clock::now();
    let phases: [&[u8]; 5] = [&[1], &[1, 2], &[2], &[2, 3], &[3]];
    for (seq, signers) in (1..).zip(phases) {
        let mut document = document(seq, now);
        document.signers = signers.iter().map(|seed| key(*seed).public().to_line()).collect();
        let keys: Vec<_> = signers.iter().map(|seed| key(*seed).ssh()).collect();
        agent.keeper.take(&document.sign(&keys).unwrap()).unwrap();
        agent.restart();
        assert_eq!(agent.seq(), Some(seq), "{signers:?}");
    }
    let gone = document(9, now).sign(&[key(2).ssh()]).unwrap();
    assert!(matches!(agent.keeper.take(&gone), Err(KeysFault::Document(_))), "announced no longer");
}

#[test]
fn a_stolen_key_that_is_pinned_no_more_has_no_say_in_what_comes() {
    let (mut agent, now) = (agent(), clock::now());
    let signed = |seq, by| document(seq, now).sign(&[key(by).ssh()]).unwrap();
    agent.keeper.take(&signed(u64::MAX, 1)).unwrap();
    std::fs::write(agent.root.path().join("trust"), key(1).public().to_line() + "\n" + &key(2).public().to_line()).unwrap();
    assert!(matches!(agent.keeper.take(&signed(5, 2)), Err(KeysFault::Document(DocumentFault::Rollback { .. }))));
    std::fs::write(agent.root.path().join("trust"), key(2).public().to_line()).unwrap();
    agent.keeper.take(&signed(5, 2)).unwrap();
    assert!(agent.keeper.take(&signed(4, 2)).is_err(), "whose key is trusted guards its number");
    agent.restart();
    assert_eq!(agent.seq(), Some(5), "what the stolen one signed does not stay on disk");
}

#[test]
fn whatever_is_not_to_be_believed_changes_nothing_and_is_named() {
    let mut agent = agent();
    let now = clock::now();
    let signed = |document: &AuthorizedKeys| document.sign(&[key(1).ssh()]).unwrap();
    agent.keeper.take(&signed(&document(4, now))).unwrap();
    let good = signed(&document(5, now));
    let foreign = AuthorizedKeys { workspace: "lighthouse".parse().unwrap(), ..document(5, now) };
    let offers = [
        (signed(&document(3, now)), Disbelief::Rollback),
        (document(5, now).sign(&[key(2).ssh()]).unwrap(), Disbelief::WrongKey),
        (good.replacen("alice", "mally", 1), Disbelief::Forged),
        (good[..good.len() / 4].to_owned(), Disbelief::Unsigned),
        (signed(&foreign), Disbelief::Foreign),
        (signed(&document(5, now.after(Duration::from_secs(24 * 60 * 60)))), Disbelief::Future),
        (signed(&document(5, Timestamp::from_unix(now.as_unix() - 130))), Disbelief::Expired),
        (signed(&AuthorizedKeys { version: 2, ..document(5, now) }), Disbelief::Version),
        ("x".repeat(MAX_DOCUMENT + 1), Disbelief::TooLong),
    ];
    for (text, why) in offers {
        let taken = agent.keeper.take(&text);
        assert_eq!(agent.keeper.note(taken), Some(why));
        assert_eq!((agent.seq(), agent.keeper.trouble.kind()), (Some(4), Some(why.label())), "logged once a kind");
    }
}

#[test]
fn a_document_on_disk_guards_its_number_whatever_the_clock_says() {
    let mut agent = agent();
    let day = Duration::from_secs(24 * 60 * 60);
    let ahead = document(7, clock::now().after(day)).sign(&[key(1).ssh()]).unwrap();
    agent.keeper.state.write(DOCUMENT, ahead.as_bytes()).unwrap();
    agent.restart();
    assert_eq!(agent.seq(), Some(7));
    assert!(agent.keys.user_of(&Fingerprint([1; 32]), clock::now()).is_some(), "a clock a day behind lets users in");
    assert!(agent.keys.user_of(&Fingerprint([1; 32]), Timestamp::from_unix(0)).is_none(), "one that lost its battery does not");
}

#[tokio::test]
async fn who_is_in_is_decided_about_with_every_document() {
    let mut agent = agent();
    let now = clock::now();
    let (mut first, user) = (document(4, now), "alice".parse().unwrap());
    first.keys.push(AuthorizedKey { fingerprint: Fingerprint([2; 32]), ..first.keys[0].clone() });
    agent.keeper.take(&first.sign(&[key(1).ssh()]).unwrap()).unwrap();
    let [one, two] = [Fingerprint([1; 32]), Fingerprint([2; 32])];
    let (gone, stays) = (agent.keys.revoked(&one, &user), agent.keys.revoked(&two, &user));
    tokio::pin!(gone, stays);
    assert!(futures_util::poll!(&mut gone).is_pending() && futures_util::poll!(&mut stays).is_pending());
    let mut second = document(5, now);
    second.keys[0].fingerprint = two;
    agent.keeper.take(&second.sign(&[key(1).ssh()]).unwrap()).unwrap();
    assert_eq!(gone.await, Revocation::Removed);
    assert!(futures_util::poll!(&mut stays).is_pending());
}

#[tokio::test(start_paused = true)]
async fn a_keys_last_second_ends_its_connection_without_any_news() {
    let mut agent = agent();
    let now = clock::now();
    let mut ending = document(4, now);
    ending.keys[0].not_after = Some(Timestamp::from_unix(now.as_unix() - 1));
    agent.keeper.take(&ending.sign(&[key(1).ssh()]).unwrap()).unwrap();
    assert_eq!(agent.keys.revoked(&Fingerprint([1; 32]), &"alice".parse().unwrap()).await, Revocation::Expired);
}

/// An edge that has nothing new, however often it is asked. Returns how often it was.
async fn unchanging(listener: TcpListener, asked: &Cell<u32>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read_buf(&mut Vec::with_capacity(4096)).await.unwrap() > 0);
        asked.set(asked.get() + 1);
        let _ = stream.write_all(b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n").await;
    }
}

#[tokio::test]
async fn a_flood_of_unknown_keys_is_no_flood_at_the_edge() {
    let mut agent = agent();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    agent.keeper.edge = EdgeClient::new(url, Token::mint(Scope::Agent, &[1; 32])).unwrap();
    agent.keeper.pace.poll = Duration::from_secs(3600);
    let board = Board::new("796636".parse().unwrap(), agent.keeper.state.clone(), &Slot::take(&agent.keeper.state).unwrap());
    let (asked, begun) = (Cell::new(0), time::Instant::now());
    let flood = async {
        for _ in 0..3 {
            let unknown: Vec<_> = (0..200).map(|n| Fingerprint([n; 32])).collect();
            futures_util::future::join_all(unknown.iter().map(|_| agent.keys.refresh())).await;
            assert!(unknown.iter().all(|key| agent.keys.knows(key).is_none()));
        }
    };
    tokio::select! {
        () = flood => {}
        () = agent.keeper.run(board, CancellationToken::new()) => {}
        () = unchanging(listener, &asked) => {}
    }
    let bound = 2 + (begun.elapsed().as_millis() / GAP.as_millis()) as u32;
    assert!(asked.get() >= 3 && asked.get() <= bound, "{} calls for 600 keys, more than {bound}", asked.get());
}

//! Which snapshots are believed, and what is kept of those that are not.

use super::*;
use drawbridge_shared::{
    id::SnapshotSeq,
    native::{identity::Identity, state_dir::StateDir, trust::Pinned},
    outage::Disbelief,
    snapshot::{MAX_MANIFEST, ShardRef},
    time::Timestamp,
    token::{Scope, Token},
};
use std::{collections::BTreeSet, fs};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// A daemon as it starts, with the key of seed 1 pinned.
fn start(root: &tempfile::TempDir) -> (Keeper, Snapshots) {
    let state = StateDir::open(&root.path().join("state")).unwrap();
    fs::write(root.path().join("trust"), key(1).public().to_line()).unwrap();
    let trust = Trust::open(Pinned::read(root.path().join("trust")).unwrap(), &state);
    let client = EdgeClient::new("http://127.0.0.1:1".parse().unwrap(), Token::mint(Scope::Daemon, &[1; 32])).unwrap();
    let pace = Pace { poll: Duration::from_secs(1), grace: Duration::from_secs(60) };
    Keeper::open(client, trust, Store::open(&state).unwrap(), pace)
}

async fn stop(mut keeper: Keeper) {
    let stop = CancellationToken::new();
    stop.cancel();
    saver::run(keeper.tray.clone(), keeper.store.take().unwrap(), stop).await;
}

fn key(seed: u8) -> Identity {
    Identity::from_seed(&[seed; 32])
}

/// Manifest `seq`, by the keys of these seeds and announcing those of others.
fn manifest(seq: u64, by: &[u8], announced: &[u8]) -> String {
    let keys: Vec<_> = by.iter().map(|seed| key(*seed).ssh()).collect();
    let lines = announced.iter().map(|seed| key(*seed).public().to_line()).collect();
    Manifest::new(SnapshotSeq(seq), clock::now(), vec![]).announcing(lines).sign(&keys).unwrap()
}

#[tokio::test]
async fn the_edges_key_is_rolled_while_the_daemon_restarts() {
    let root = tempfile::tempdir().unwrap();
    let phases: [&[u8]; 5] = [&[1], &[1, 2], &[2], &[2, 3], &[3]];
    for (seq, signers) in (1..).zip(phases) {
        let (mut keeper, snapshots) = start(&root);
        assert_eq!(snapshots.current().seq(), SnapshotSeq(seq - 1), "what was saved is believed again");
        keeper.take(&manifest(seq, signers, signers)).await.unwrap();
        stop(keeper).await;
    }
    let (mut keeper, snapshots) = start(&root);
    assert!(keeper.take(&manifest(9, &[2], &[2])).await.is_err(), "announced no longer, and not pinned");
    assert_eq!(snapshots.current().seq(), SnapshotSeq(5));
}

#[tokio::test]
async fn a_forged_manifest_announces_nothing() {
    let root = tempfile::tempdir().unwrap();
    let (mut keeper, snapshots) = start(&root);
    for _ in 0..2 {
        assert!(keeper.take(&manifest(9, &[9], &[9])).await.is_err());
    }
    assert_eq!(snapshots.current().seq(), SnapshotSeq(0));
}

#[tokio::test]
async fn a_stolen_key_that_is_pinned_no_more_has_no_say_in_what_comes() {
    let root = tempfile::tempdir().unwrap();
    let (mut keeper, snapshots) = start(&root);
    keeper.take(&manifest(7, &[1], &[1])).await.unwrap();
    let file = root.path().join("trust");
    fs::write(&file, key(1).public().to_line() + "\n" + &key(2).public().to_line()).unwrap();
    assert!(keeper.take(&manifest(5, &[2], &[2])).await.is_err(), "older");
    fs::write(&file, key(2).public().to_line()).unwrap();
    keeper.take(&manifest(5, &[2], &[2])).await.unwrap();
    assert_eq!(snapshots.current().seq(), SnapshotSeq(5));
    assert!(keeper.take(&manifest(4, &[2], &[2])).await.is_err(), "whose key is trusted guards its number");
    assert!(keeper.take(&manifest(9, &[1], &[1])).await.is_err());
}

/// Manifest `seq` that was issued `ahead` seconds from now and names `shards`.
fn issued(seq: u64, ahead: i64, shards: Vec<ShardRef>) -> Manifest {
    let at = clock::now().as_unix().saturating_add_signed(ahead);
    Manifest::new(SnapshotSeq(seq), Timestamp::from_unix(at), shards)
}

fn signed(manifest: &Manifest) -> String {
    manifest.sign(&[key(1).ssh()]).unwrap()
}

#[tokio::test]
async fn whatever_is_not_to_be_believed_changes_nothing_and_is_counted() {
    const DAY: i64 = 24 * 60 * 60;
    let root = tempfile::tempdir().unwrap();
    let (mut keeper, snapshots) = start(&root);
    keeper.take(&signed(&issued(5, 0, vec![]))).await.unwrap();
    let good = signed(&issued(6, 0, vec![]));
    let twice = ShardRef::of(drawbridge_shared::snapshot::Family::Keys, 1, b"shard");
    let offers = [
        (signed(&issued(4, 0, vec![])), Disbelief::Rollback),
        (manifest(6, &[9], &[9]), Disbelief::WrongKey),
        (good.replacen("\"seq\":6", "\"seq\":7", 1), Disbelief::Forged),
        (good[..good.len() / 2].to_owned(), Disbelief::Unsigned),
        (signed(&issued(6, DAY, vec![])), Disbelief::Future),
        (signed(&issued(6, -2 * DAY - 100, vec![])), Disbelief::Expired),
        (signed(&issued(6, 0, vec![twice, twice])), Disbelief::Malformed),
        (signed(&Manifest { version: 2, ..issued(6, 0, vec![]) }), Disbelief::Version),
        ("x".repeat(MAX_MANIFEST + 1), Disbelief::TooLong),
    ];
    for (text, why) in offers {
        for _ in 0..2 {
            let taken = keeper.take(&text).await;
            assert!(matches!(&taken, Err(FetchFault::Snapshot(fault)) if fault.disbelief() == why), "{why:?}: {taken:?}");
            keeper.note(taken);
        }
        assert_eq!((snapshots.current().seq(), snapshots.disbelieved().count(why)), (SnapshotSeq(5), 2), "{why:?}");
        assert_eq!(keeper.trouble.kind(), Some(why.label()), "the same trouble is logged once");
    }
}

#[tokio::test]
async fn a_swapped_shard_is_refused_and_the_old_view_stays() {
    let root = tempfile::tempdir().unwrap();
    let (mut keeper, snapshots) = start(&root);
    keeper.take(&signed(&issued(5, 0, vec![]))).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    keeper.edge = EdgeClient::new(url, Token::mint(Scope::Daemon, &[1; 32])).unwrap();
    let named = ShardRef::of(drawbridge_shared::snapshot::Family::Keys, 1, b"named");
    let swapping = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read_buf(&mut Vec::with_capacity(4096)).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother").await.unwrap();
    };
    let text = signed(&issued(6, 0, vec![named]));
    let (taken, ()) = tokio::join!(keeper.take(&text), swapping);
    assert!(matches!(taken, Err(FetchFault::Snapshot(SnapshotFault::WrongShard(_)))), "{taken:?}");
    assert_eq!(snapshots.current().seq(), SnapshotSeq(5));
}

/// An edge with these shards that answers `calls` requests and turns the next one away.
async fn serve_some(listener: &TcpListener, shards: &[(ShardRef, Vec<u8>)], calls: usize) {
    let mut call = 0;
    while call <= calls {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::with_capacity(4096);
        // One that was given up, as its neighbour was turned away, says nothing.
        if stream.read_buf(&mut request).await.unwrap_or_default() == 0 {
            continue;
        }
        let request = String::from_utf8(request).unwrap();
        let (_, bytes) = shards.iter().find(|(shard, _)| request.contains(&shard.sha256.to_string())).unwrap();
        let (status, body) = if call < calls { ("200 OK", &bytes[..]) } else { ("429 Too Many Requests", &b"{}"[..]) };
        let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        // So does one that is given up later.
        let _ = stream.write_all(&[head.as_bytes(), body].concat()).await;
        call += 1;
    }
}

/// One whose edge is whoever answers at the listener.
async fn asking(root: &tempfile::TempDir) -> (Keeper, Snapshots, TcpListener) {
    let (mut keeper, snapshots) = start(root);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    keeper.edge = EdgeClient::new(url, Token::mint(Scope::Daemon, &[1; 32])).unwrap();
    (keeper, snapshots, listener)
}

#[tokio::test]
async fn shards_that_came_before_a_refusal_are_not_asked_for_again() {
    let root = tempfile::tempdir().unwrap();
    let (mut keeper, snapshots, listener) = asking(&root).await;
    let shards: Vec<_> = (0..200).map(shard).collect();
    let text = signed(&issued(5, 0, shards.iter().map(|(shard, _)| *shard).collect()));
    let mut kept = 0;
    for _ in 0..2 {
        let (taken, ()) = tokio::join!(keeper.take(&text), serve_some(&listener, &shards, 60));
        assert!(matches!(taken, Err(FetchFault::Edge(_))), "{taken:?}");
        assert_eq!(snapshots.current().seq(), SnapshotSeq(0), "all or nothing");
        let there: BTreeSet<_> = keeper.arrived.iter().map(|(_, (shard, _))| shard.id).collect();
        assert_eq!(there.len(), keeper.arrived.len(), "none twice");
        assert!(there.len() > kept + 20, "{kept} and then {}", there.len());
        kept = there.len();
    }
    tokio::select! {
        taken = keeper.take(&text) => taken.unwrap(),
        () = serve_some(&listener, &shards, usize::MAX) => {}
    }
    assert_eq!((snapshots.current().seq(), keeper.arrived.len()), (SnapshotSeq(5), 0));
    stop(keeper).await;
}

/// With another's it would be told that it has what is newest, for as long as that is not superseded.
#[tokio::test]
async fn what_is_held_has_its_own_etag_whatever_stands_beside_it() {
    let root = tempfile::tempdir().unwrap();
    let (mut keeper, snapshots, listener) = asking(&root).await;
    for seq in [5, 5, 6] {
        let answering = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read_buf(&mut Vec::with_capacity(4096)).await.unwrap() > 0);
            let body = signed(&issued(seq, 0, vec![]));
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nETag: \"9\"\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).await.unwrap();
        };
        let (fetched, ()) = tokio::join!(keeper.fetch(), answering);
        fetched.unwrap();
        assert_eq!(snapshots.current().seq(), SnapshotSeq(seq));
        assert_eq!(keeper.etag.as_ref().unwrap(), &*format!("\"{seq}\""));
    }
}

/// Number `id`, with one key.
fn shard(id: u8) -> (ShardRef, Vec<u8>) {
    use drawbridge_shared::{
        fingerprint::Fingerprint,
        snapshot::{Family, key_shard},
    };
    let bytes = key_shard::build(vec![key_shard::row(&Fingerprint([id; 32]), &"alice".parse().unwrap(), None)]);
    (ShardRef::of(Family::Keys, id, &bytes), bytes)
}

#[tokio::test]
async fn state_on_disk_guards_its_number_whatever_the_clock_says() {
    let root = tempfile::tempdir().unwrap();
    let (mut keeper, _) = start(&root);
    let roots = keeper.trust.roots();
    keeper.tray.put(Unsaved::new(&signed(&issued(5, 90_000, vec![])), roots, &KeySet::default(), vec![]));
    stop(keeper).await;
    let (mut keeper, snapshots) = start(&root);
    assert_eq!(snapshots.current().seq(), SnapshotSeq(5), "the clock fell back by 25 hours");
    assert!(snapshots.current().serves(clock::now(), Duration::ZERO), "and users still get in");
    assert!(matches!(
        keeper.take(&signed(&issued(4, 0, vec![]))).await,
        Err(FetchFault::Snapshot(SnapshotFault::Rollback { .. }))
    ));
}

#[tokio::test]
async fn a_shard_that_cannot_be_read_forgets_no_number() {
    let root = tempfile::tempdir().unwrap();
    let (mut keeper, _) = start(&root);
    let (named, bytes) = shard(1);
    let text = signed(&issued(5, 0, vec![named]));
    let view = KeySet::default()
        .next(issued(5, 0, vec![named]), vec![crate::keyset::Shard::open(named, bytes.clone().into()).unwrap()])
        .unwrap();
    let roots = keeper.trust.roots();
    keeper.tray.put(Unsaved::new(&text, roots, &view, vec![(named, bytes.clone().into())]));
    stop(keeper).await;
    fs::write(root.path().join("state/snapshot").join(named.sha256.to_string()), b"damaged").unwrap();
    let (mut keeper, snapshots) = start(&root);
    assert_eq!((snapshots.current().seq(), keeper.etag.clone()), (SnapshotSeq(0), None), "it is asked for anew");
    let older = keeper.take(&signed(&issued(4, 0, vec![]))).await;
    assert!(matches!(older, Err(FetchFault::Snapshot(SnapshotFault::Rollback { .. }))), "{older:?}");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    keeper.edge = EdgeClient::new(url, Token::mint(Scope::Daemon, &[1; 32])).unwrap();
    let shards = [(named, bytes)];
    tokio::select! {
        taken = keeper.take(&text) => taken.unwrap(),
        () = serve_some(&listener, &shards, usize::MAX) => {}
    }
    assert_eq!(snapshots.current().seq(), SnapshotSeq(5), "the same number, whole");
}

#[tokio::test]
async fn what_goes_on_without_news_is_said_as_it_is() {
    for (ahead, outlook) in [(0, "serving on"), (-90_000, "nobody can log in"), (900_000, "nobody can log in")] {
        let root = tempfile::tempdir().unwrap();
        let (mut keeper, _) = start(&root);
        let roots = keeper.trust.roots();
        keeper.tray.put(Unsaved::new(&signed(&issued(5, ahead, vec![])), roots, &KeySet::default(), vec![]));
        stop(keeper).await;
        let said = start(&root).0.outlook();
        assert!(said.starts_with("no new snapshot") && said.contains(outlook), "{ahead}: {said}");
    }
}

#[tokio::test]
async fn a_token_that_the_edge_refuses_is_told_until_one_is_taken() {
    let root = tempfile::tempdir().unwrap();
    let (mut keeper, snapshots, listener) = asking(&root).await;
    for (status, told) in [
        ("401 Unauthorized", false),
        ("401 Unauthorized", true),
        ("503 Unavailable", true),
        ("304 Fine", false),
        ("401 Unauthorized", false),
    ] {
        let answering = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read_buf(&mut Vec::with_capacity(4096)).await.unwrap() > 0);
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        tokio::join!(keeper.ask(), answering);
        assert_eq!(snapshots.turned_down().is_some(), told, "{status}");
    }
}

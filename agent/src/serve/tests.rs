//! How a tunnel is left, over a real one: what runs on it goes on, what was on its way is taken, news is heard.

use super::*;
use crate::keys::{Keeper, Pace};
use bytes::Bytes;
use drawbridge_shared::{
    id::SnapshotSeq,
    native::{
        edge_client::EdgeClient,
        identity::Identity,
        quic::{self, Acceptor},
        resume::{StrandReader, StrandWriter},
        slot::Slot,
        state_dir::StateDir,
        trust::{Pinned, Trust},
    },
    token::{Scope, Token},
    tunnel::{
        instance::Instance,
        resume::ticket::{ID, SECRET, Secret, StrandId, Ticket},
    },
};
use std::{fs, net::UdpSocket, time::Duration};
use tokio::{io, net::TcpListener, sync::mpsc, task::JoinSet};

/// What is to come about does so within this.
const SOON: Duration = Duration::from_secs(20);

/// A daemon with one tunnel to the service, an SSH server that echoes, and an edge that only counts who calls.
struct Scene {
    edge: TcpListener,
    daemon: Tunnel,
    says: mpsc::Sender<Frame>,
    service: Service,
    /// Its daemon is to serve it no more.
    unlisted: CancellationToken,
    strands: u8,
    tasks: JoinSet<()>,
    /// What the service makes of the tunnel.
    partings: JoinSet<Parting>,
    _root: tempfile::TempDir,
}

/// A connection as the daemon has it.
struct Held {
    reader: StrandReader,
    writer: StrandWriter,
}

fn identity() -> Identity {
    Identity::from_seed(&[5; 32])
}

async fn local() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

impl Scene {
    async fn new() -> Self {
        let (root, edge, sshd) = (tempfile::tempdir().unwrap(), local().await, local().await);
        let (mut tasks, mut partings) = (JoinSet::new(), JoinSet::new());
        let keys = keys(&root, &edge, &mut tasks);
        let upstream = sshd.local_addr().unwrap().to_string().parse().unwrap();
        tasks.spawn(echo(sshd));
        let service = Service::new(Inner::Upstream(upstream), keys, TaskTracker::new(), CancellationToken::new());
        let acceptor = Acceptor::new(UdpSocket::bind("127.0.0.1:0").unwrap(), &identity(), 0).unwrap();
        let address = acceptor.local_addr().unwrap();
        let accepts = async { acceptor.accept().await.unwrap().admit().await.unwrap() };
        let (agent, daemon) = tokio::join!(quic::dial(address, identity().public()), accepts);
        let agent = agent.unwrap();
        let (mut ours, theirs) = (agent.open().await.unwrap(), daemon.accept());
        // QUIC announces a stream with its first byte.
        control::write(&mut ours.1, &Frame::Pong).await.unwrap();
        let (says, said) = mpsc::channel(8);
        tasks.spawn(talk(Talk::new(&daemon, theirs.await.unwrap()), said));
        let unlisted = CancellationToken::new();
        let (serving, stop) = (service.clone(), unlisted.clone());
        partings.spawn(async move {
            let host = Host { identity: identity().public(), process: Instance([1; 16]) };
            serving.run(host, agent, ours, &stop, &CancellationToken::new()).await
        });
        Self { edge, daemon, says, service, unlisted, strands: 0, tasks, partings, _root: root }
    }

    async fn say(&self, frame: Frame) {
        self.says.send(frame).await.unwrap();
    }

    async fn parting(&mut self) -> Parting {
        time::timeout(SOON, self.partings.join_next()).await.unwrap().unwrap().unwrap()
    }

    /// A connection, opened and carried as a daemon does.
    async fn open(&mut self) -> Held {
        self.strands += 1;
        let open = Open {
            user: "alice".parse().unwrap(),
            fingerprint: drawbridge_shared::fingerprint::Fingerprint([1; 32]),
            client: "192.0.2.1:1".parse().unwrap(),
            trace_id: "t".into(),
            ticket: Ticket { id: StrandId([self.strands; ID]), secret: Secret::new([self.strands; SECRET]) },
            patience: Duration::from_secs(1),
        };
        let (leg_reader, mut leg_writer) = self.daemon.open().await.unwrap();
        leg_writer.send(open.encode().into()).await.unwrap();
        let (reader, writer, driver) = resume::strand(&Budget::new(1 << 20));
        self.tasks.spawn(async move {
            driver.ride(&mut Leg::new(leg_reader, leg_writer)).await;
        });
        Held { reader, writer }
    }

    /// The edge is asked within a bounded time.
    async fn asked(&self) {
        time::timeout(SOON, self.edge.accept()).await.unwrap().unwrap();
    }

    async fn closed(&self) {
        time::timeout(SOON, self.daemon.closed()).await.unwrap();
    }
}

impl Held {
    async fn echoes(&mut self, words: &'static str) {
        self.writer.send(Bytes::from_static(words.as_bytes())).await.unwrap();
        let heard = time::timeout(SOON, self.reader.chunk()).await.unwrap().unwrap();
        assert_eq!(heard.as_deref(), Some(words.as_bytes()));
    }

    async fn breaks(mut self) {
        // Whether it notices that before is chance.
        let _ = self.writer.send(Bytes::from_static(b"hello?")).await;
        assert!(time::timeout(SOON, self.reader.chunk()).await.unwrap().is_err());
    }

    async fn end(mut self) {
        self.writer.finish();
        assert_eq!(time::timeout(SOON, self.reader.chunk()).await.unwrap().unwrap(), None);
    }
}

/// Those of an agent that asks only when it is told to.
fn keys(root: &tempfile::TempDir, edge: &TcpListener, tasks: &mut JoinSet<()>) -> Keys {
    fs::write(root.path().join("trust"), identity().public().to_line()).unwrap();
    let state = StateDir::open(&root.path().join("state")).unwrap();
    let trust = Trust::open(Pinned::read(root.path().join("trust")).unwrap(), &state);
    let url = format!("http://{}/", edge.local_addr().unwrap()).parse().unwrap();
    let client = EdgeClient::new(url, Token::mint(Scope::Agent, &[1; 32])).unwrap();
    let workspace: drawbridge_shared::id::WorkspaceId = "796636".parse().unwrap();
    let pace = Pace { poll: Duration::from_secs(3600), grace: Duration::ZERO };
    let (keeper, keys) = Keeper::open(client, trust, workspace.clone(), state.clone(), pace);
    let board = crate::status::Board::new(workspace, state.clone(), &Slot::take(&state).unwrap());
    tasks.spawn(keeper.run(board, CancellationToken::new()));
    keys
}

async fn echo(sshd: TcpListener) {
    let mut clients = JoinSet::new();
    while let Ok((mut client, _)) = sshd.accept().await {
        clients.spawn(async move {
            let (mut reader, mut writer) = client.split();
            io::copy(&mut reader, &mut writer).await
        });
    }
}

/// The daemon's control stream: says what it is given, and gives signs of life.
async fn talk(mut talk: Talk, mut said: mpsc::Receiver<Frame>) {
    loop {
        tokio::select! {
            heard = talk.next() => if heard.is_err() { return },
            Some(frame) = said.recv() => talk.say(&frame).unwrap(),
        }
    }
}

#[tokio::test]
async fn a_drained_tunnel_serves_what_it_has_and_what_was_on_its_way() {
    let mut scene = Scene::new().await;
    scene.asked().await;
    let mut session = scene.open().await;
    session.echoes("before").await;
    scene.say(Frame::Drain).await;
    assert!(matches!(scene.parting().await, Parting::Dismissed { reason: Reason::Draining, .. }));
    session.echoes("during").await;
    let mut late = scene.open().await;
    late.echoes("on its way").await;
    scene.say(Frame::KeysChanged { seq: SnapshotSeq(2) }).await;
    scene.asked().await;
    scene.say(Frame::Goodbye { reason: Reason::Draining, words: "bye".into() }).await;
    late.end().await;
    session.echoes("to its end").await;
    session.end().await;
    scene.closed().await;
}

#[tokio::test]
async fn a_goodbye_ends_an_idle_tunnel_at_once() {
    let mut scene = Scene::new().await;
    let begun = time::Instant::now();
    scene.say(Frame::Goodbye { reason: Reason::Stopping, words: "bye".into() }).await;
    assert!(matches!(scene.parting().await, Parting::Dismissed { reason: Reason::Stopping, .. }));
    scene.closed().await;
    assert!(begun.elapsed() < RETIRED, "it was kept as a drained one is");
}

#[tokio::test]
async fn a_daemon_that_drains_and_is_struck_off_begins_nothing_new() {
    let mut scene = Scene::new().await;
    let mut session = scene.open().await;
    session.echoes("before").await;
    scene.say(Frame::Drain).await;
    scene.parting().await;
    let mut late = scene.open().await;
    late.echoes("somebody who had called before").await;
    scene.unlisted.cancel();
    scene.open().await.breaks().await;
    session.echoes("what runs goes on").await;
    session.end().await;
    late.end().await;
    scene.closed().await;
}

#[tokio::test]
async fn one_daemon_leaves_half_of_the_places_to_the_others() {
    let Scene { service, .. } = Scene::new().await;
    let [bad, good] = [1, 2].map(|n| PublicIdentity([n; 32]));
    let openings: Vec<_> = std::iter::from_fn(|| service.openings.take(bad)).collect();
    assert!(openings.len() == MAX_OPENINGS / 2 && service.openings.take(good).is_some());
    let mut connections = Vec::new();
    while let Some(place) = service.place(bad).await {
        connections.push(place);
    }
    assert!(connections.len() == MAX_CONNECTIONS / 2 && service.place(good).await.is_some());
    let whose = |daemon| vec![(daemon, "alice".parse().unwrap())];
    let seats: Vec<_> = std::iter::from_fn(|| service.crowd.seat(whose(bad))).collect();
    assert!(seats.len() == MAX_CONNECTIONS_OF_USER && service.crowd.seat(whose(good)).is_some(), "whose they are, it only says");
}

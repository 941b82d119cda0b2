//! Two end points on one number: each tunnel's packets find their own.

use super::*;
use crate::native::doors::{Opener, Passed, Turn};
use futures_util::TryFutureExt;
use std::fs;
use tokio::{
    io::AsyncReadExt,
    task,
    time::{Instant, timeout},
};

const BOUND: Duration = Duration::from_secs(10);

fn identity() -> Identity {
    Identity::from_seed(&[5; 32])
}

fn acceptor(address: &str, turn: Turn) -> Acceptor {
    let socket = Opener { turn, passed: Passed::default() }.datagram(address.parse().unwrap()).unwrap();
    Acceptor::new(socket, &identity(), turn.slot()).unwrap()
}

/// A tunnel that `to` takes in.
async fn tunnel(to: &Acceptor) -> (Tunnel, Tunnel) {
    let dialled = dial(to.local_addr().unwrap(), identity().public());
    let accepted = async { to.accept().await.unwrap().admit().await.unwrap() };
    let (agent, daemon) = timeout(BOUND, async { tokio::join!(dialled, accepted) }).await.expect("the other one was called");
    (agent.unwrap(), daemon)
}

/// Says something both ways over a new stream.
async fn works((agent, daemon): &(Tunnel, Tunnel)) {
    let round = async {
        let (mut from_agent, mut to_agent) = daemon.open().await.unwrap();
        to_agent.send("ask".into()).await.unwrap();
        let (mut from_daemon, mut to_daemon) = agent.accept().await.unwrap();
        let mut heard = [0; 3];
        from_daemon.read_exact(&mut heard).await.unwrap();
        to_daemon.send(heard.to_vec().into()).await.unwrap();
        from_agent.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"ask");
    };
    timeout(BOUND, round).await.expect("its packets went elsewhere");
}

async fn gone(acceptor: Acceptor, left: usize) {
    let port = format!("0100007F:{:04X} ", acceptor.local_addr().unwrap().port());
    acceptor.endpoint.close(0_u32.into(), b"");
    acceptor.wait_idle().await;
    drop(acceptor);
    let begun = Instant::now();
    while fs::read_to_string("/proc/self/net/udp").unwrap().matches(&port).count() > left {
        assert!(begun.elapsed() < BOUND, "its socket stays");
        task::yield_now().await;
    }
}

#[tokio::test]
async fn packets_find_the_process_of_their_tunnel() {
    let first = acceptor("127.0.0.1:0", Turn::First(0));
    let address = first.local_addr().unwrap().to_string();
    let old = tunnel(&first).await;
    let second = acceptor(&address, Turn::Second(1));
    let new: Vec<_> = [tunnel(&second).await, tunnel(&second).await, tunnel(&second).await].into();
    works(&old).await;
    // Agents that move are known by their connection's id alone.
    old.0.reroute();
    works(&old).await;
    for tunnel in &new {
        works(tunnel).await;
    }
    drop(old);
    gone(first, 1).await;
    let third = acceptor(&address, Turn::Second(0));
    let newest = tunnel(&third).await;
    for tunnel in &new {
        tunnel.0.reroute();
        works(tunnel).await;
    }
    works(&newest).await;
    drop(new);
    gone(second, 1).await;
    works(&newest).await;
    works(&tunnel(&third).await).await;
}

/// A crash, as far as the network sees it: nothing is said, and another process has the number.
#[tokio::test]
async fn a_daemon_that_crashed_tells_so_at_the_next_packet() {
    let crashes = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (address, tell) = tokio::sync::oneshot::channel();
    crashes.spawn(async move {
        let daemon = acceptor("127.0.0.1:0", Turn::First(0));
        address.send(daemon.local_addr().unwrap()).unwrap();
        let _tunnel = daemon.accept().await.unwrap().admit().await.unwrap();
        std::future::pending::<()>().await;
    });
    let address = tell.await.unwrap();
    let agent = dial(address, identity().public()).await.unwrap();
    let (_reader, mut writer) = agent.open().await.unwrap();
    writer.send("known".into()).await.unwrap();
    crashes.shutdown_background();
    let begun = Instant::now();
    let _again = loop {
        let mut opener = Opener { turn: Turn::First(1), passed: Passed::default() };
        match opener.datagram(address) {
            Ok(socket) => break Acceptor::new(socket, &identity(), 1).unwrap(),
            Err(fault) => assert!(begun.elapsed() < BOUND, "{fault}"),
        }
        task::yield_now().await;
    };
    let asked = async {
        while writer.send("anybody there?".into()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(BOUND, asked).await.expect("it waits for one that is gone");
}

#[tokio::test]
async fn a_tunnel_has_as_many_streams_as_it_may() {
    let daemon = acceptor("127.0.0.1:0", Turn::First(0));
    let tunnel = tunnel(&daemon).await;
    let mut open = Vec::new();
    for n in 0..MAX_STREAMS {
        let stream = async {
            let (reader, mut writer) = tunnel.1.open().await.unwrap();
            writer.send("first".into()).await.unwrap();
            (reader, writer, tunnel.0.accept().await.unwrap())
        };
        open.push(timeout(BOUND, stream).await.unwrap_or_else(|_| panic!("none beside {n}")));
    }
}

/// Ten packets at a time must be no more than the kernel takes, or they are lost without a word, and with them the size.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_grow_to_what_the_link_takes_and_stay_there() {
    const BULK: usize = 32 << 20;
    let daemon = acceptor("127.0.0.1:0", Turn::First(0));
    let address = daemon.local_addr().unwrap();
    let endpoint = Endpoint::new(
        ends(EndpointConfig::default(), mtu::MAX).unwrap(),
        None,
        wide_port(address).unwrap(),
        Arc::new(TokioRuntime),
    )
    .unwrap();
    let config = client(identity().public(), mtu::bound(address)).unwrap();
    let dialled = async { endpoint.connect_with(config, address, SERVER_NAME).unwrap().await.unwrap() };
    let (agent, daemon) = tokio::join!(dialled, async { daemon.accept().await.unwrap().admit().await.unwrap() });
    let (mut from_agent, mut to_agent) = daemon.open().await.unwrap();
    to_agent.send("open".into()).await.unwrap();
    let (mut to_daemon, _from_daemon) = agent.accept_bi().await.unwrap();
    let (bulk, mut room) = (vec![7; BULK], vec![0; BULK]);
    let moved = async { tokio::try_join!(to_daemon.write_all(&bulk).map_err(io::Error::from), from_agent.read_exact(&mut room)) };
    timeout(BOUND, moved).await.expect("it stalled").unwrap();
    let path = agent.stats().path;
    assert_eq!((path.current_mtu, path.black_holes_detected), (mtu::MAX, 0), "{path:?}");
}

//! From the workspace to what the client reaches: `-R`.

use super::{Peer, closed_port, exchange, listening, rest};
use crate::{
    channels::login,
    harness::{Workspace, noise, text, until},
};
use russh::{
    Channel, Error,
    client::{self, ChannelOpenHandle, Handle, Msg},
    keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key},
};
use std::{net::SocketAddr, sync::Arc};
use tokio::{net::TcpStream, sync::mpsc};

const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_free_port_is_told_and_leads_to_the_client() {
    let workspace = Workspace::start().await;
    let echo = Peer::echo().await;
    let mut master = workspace.master().await;
    let port = forward(&workspace, &format!("0:127.0.0.1:{}", echo.port)).await;
    let data = noise(16 * MIB);
    for size in [0, 1, 32_767, 32_768, 32_769, 65_535, 65_536, 65_537, 16 * MIB] {
        let back = exchange(visit("127.0.0.1", port).await, &data[..size]).await;
        assert!(back == data[..size], "{} of {size} bytes came back", back.len());
    }
    if listening(port).len() > 1 {
        assert_eq!(exchange(visit("::1", port).await, b"sixth").await, b"sixth");
    }
    master.kill().await.unwrap();
    until("the port's end", || listening(port).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_are_cancelled_one_by_one() {
    let workspace = Workspace::start().await;
    let (one, other) = (Peer::echo().await, Peer::echo().await);
    let _master = workspace.master().await;
    let first = closed_port().await;
    let wish = format!("{first}:127.0.0.1:{}", one.port);
    let free = format!("0:127.0.0.1:{}", other.port);
    let second = forward(&workspace, &free).await;
    for _ in 0..3 {
        // The second time, the port is free at once.
        let asked = workspace.control("forward", &["-R", &wish]).await;
        assert!(asked.status.success(), "{}", text(&asked.stderr));
        let kept = visit("127.0.0.1", first).await;
        cancel(&workspace, &wish).await;
        assert_eq!(exchange(kept, b"kept").await, b"kept");
        assert_eq!(exchange(visit("127.0.0.1", second).await, b"other").await, b"other");
    }
    until("the port's end", || listening(first).is_empty()).await;
    assert!(!listening(second).is_empty());
    cancel(&workspace, &free).await;
    until("the other port's end", || listening(second).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_refused_in_words() {
    let workspace = Workspace::start().await;
    let taken = Peer::echo().await;
    let options = ["-v", "-R", &format!("127.0.0.1:{}:127.0.0.1:9", taken.port), "-oExitOnForwardFailure=yes"];
    let output = workspace.run_with(&options, "true", &[]).await;
    assert_eq!(output.status.code(), Some(255));
    let told = text(&output.stderr);
    assert!(told.contains("Remote: Address already in use") && told.contains("remote port forwarding failed"), "{told}");
}

/// The tests' process may be root; the account is not.
#[tokio::test(flavor = "multi_thread")]
async fn low_ports_are_not_lent_to_other_accounts() {
    let workspace = Workspace::with(|account| account.uid = 4711).await;
    let output = workspace.run_with(&["-v", "-R", "7:127.0.0.1:9", "-oExitOnForwardFailure=yes"], "true", &[]).await;
    assert_eq!(output.status.code(), Some(255));
    assert!(text(&output.stderr).contains("Remote: port 7 is for root alone"), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_client_cannot_reach_is_closed() {
    let workspace = Workspace::start().await;
    let _master = workspace.master().await;
    let port = forward(&workspace, &format!("0:127.0.0.1:{}", closed_port().await)).await;
    for _ in 0..3 {
        assert_eq!(rest(&mut visit("127.0.0.1", port).await).await, b"");
    }
    assert!(workspace.run("true").await.status.success(), "the connection goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_learns_which_address_was_reached_and_by_whom() {
    let workspace = Workspace::start().await;
    let (tell, mut told) = mpsc::channel(4);
    let session = curious(&workspace, tell).await;
    let port = session.tcpip_forward("localhost", 0).await.unwrap();
    let visitor = visit("127.0.0.1", u16::try_from(port).unwrap()).await;
    let from = visitor.local_addr().unwrap();
    assert_eq!(told.recv().await.unwrap(), ("localhost".into(), port, from));
}

#[tokio::test(flavor = "multi_thread")]
async fn places_to_listen_are_counted() {
    let workspace = Workspace::start().await;
    let session = login(&workspace).await;
    let mut ports = Vec::new();
    for _ in 0..64 {
        ports.push(session.tcpip_forward("127.0.0.1", 0).await.unwrap());
    }
    assert!(session.tcpip_forward("127.0.0.1", 0).await.is_err());
    session.cancel_tcpip_forward("127.0.0.1", ports[0]).await.unwrap();
    assert!(session.cancel_tcpip_forward("127.0.0.1", ports[0]).await.is_err(), "cancelled twice");
    session.tcpip_forward("127.0.0.1", 0).await.unwrap();
    for port in [65_536, u32::MAX] {
        assert!(session.tcpip_forward("127.0.0.1", port).await.is_err());
    }
    drop(session);
    for port in &ports {
        let port = u16::try_from(*port).unwrap();
        until("the port's end", || listening(port).is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_that_leaves_early_harms_nobody() {
    let workspace = Workspace::start().await;
    let echo = Peer::echo().await;
    let _master = workspace.master().await;
    let port = forward(&workspace, &format!("0:127.0.0.1:{}", echo.port)).await;
    for _ in 0..50 {
        drop(visit("127.0.0.1", port).await);
    }
    assert_eq!(exchange(visit("127.0.0.1", port).await, b"patient").await, b"patient");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_come_at_once() {
    let workspace = Workspace::start().await;
    let echo = Peer::echo().await;
    let _master = workspace.master().await;
    let port = forward(&workspace, &format!("0:127.0.0.1:{}", echo.port)).await;
    let mut all = tokio::task::JoinSet::new();
    for n in 0..200_u32 {
        all.spawn(async move { exchange(visit("127.0.0.1", port).await, &n.to_be_bytes()).await == n.to_be_bytes() });
    }
    assert_eq!(all.join_all().await, vec![true; 200]);
}

/// Asks the shared connection for a forward; its port.
async fn forward(workspace: &Workspace, forward: &str) -> u16 {
    let output = workspace.control("forward", &["-R", forward]).await;
    text(&output.stdout).trim().parse().unwrap_or_else(|_| panic!("no port: {}", text(&output.stderr)))
}

/// Takes a forward back; `ssh` does not wait for the answer.
async fn cancel(workspace: &Workspace, forward: &str) {
    let cancelled = workspace.control("cancel", &["-R", forward]).await;
    assert!(cancelled.status.success(), "{}", text(&cancelled.stderr));
}

async fn visit(host: &str, port: u16) -> TcpStream {
    TcpStream::connect((host, port)).await.unwrap()
}

/// A client that tells what forwarded channels say of themselves.
struct Curious(mpsc::Sender<(String, u32, SocketAddr)>);

impl client::Handler for Curious {
    type Error = Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, Error> {
        Ok(true)
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        address: &str,
        port: u32,
        originator: &str,
        originator_port: u32,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Error> {
        let from = SocketAddr::new(originator.parse().unwrap(), u16::try_from(originator_port).unwrap());
        self.0.send((address.to_owned(), port, from)).await.unwrap();
        reply.accept().await;
        Ok(())
    }
}

async fn curious(workspace: &Workspace, tell: mpsc::Sender<(String, u32, SocketAddr)>) -> Handle<Curious> {
    let key = Arc::new(load_secret_key(workspace.path("member"), None).unwrap());
    let address = ("127.0.0.1", workspace.port());
    let mut session = client::connect(Arc::default(), address, Curious(tell)).await.unwrap();
    let tried = session.authenticate_publickey("user", PrivateKeyWithHashAlg::new(key, None)).await.unwrap();
    assert!(tried.success());
    session
}

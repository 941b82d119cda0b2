//! What the TCP door says to those who are no agents.

use super::*;
use crate::native::{
    tls::SERVER_NAME,
    websocket::{Way, dial},
};
use rustls::pki_types::ServerName;
use std::time::Duration;
use tokio::{io::AsyncReadExt, time::timeout};
use tokio_rustls::TlsConnector;

const SOON: Duration = Duration::from_secs(20);

fn identity() -> Identity {
    Identity::from_seed(&[5; 32])
}

async fn door() -> Door {
    Door::new(TcpListener::bind("127.0.0.1:0").await.unwrap(), &identity()).unwrap()
}

/// What `door` answers to `request`, and what it makes of it.
async fn answer(door: &Door, request: &str) -> (String, Result<Option<Tunnel>, WebSocketFault>) {
    let asks = async {
        let stream = TcpStream::connect(door.local_addr().unwrap()).await.unwrap();
        let tls = TlsConnector::from(Arc::new(tls::client(identity().public(), ALPN_HTTP).unwrap()));
        let mut stream = tls.connect(ServerName::try_from(SERVER_NAME).unwrap(), stream).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let takes = async { door.accept().await.unwrap().admit().await };
    timeout(SOON, async { tokio::join!(asks, takes) }).await.unwrap()
}

const UPGRADE: &str = "Host: drawbridge\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[tokio::test]
async fn a_health_check_sees_something_sane() {
    let (said, made) = answer(&door().await, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 404 Not Found\r\n") && said.ends_with("there is no page here."), "{said}");
    assert!(matches!(made, Err(WebSocketFault::Request("a page"))));
    let (said, _) = answer(&door().await, "GET /v1/tunnel HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{said}");
}

#[tokio::test]
async fn a_ticket_that_nobody_issued_opens_nothing() {
    let bearer = "0".repeat(64);
    let request = format!("GET /v1/stream HTTP/1.1\r\n{UPGRADE}Authorization: Bearer {bearer}\r\n\r\n");
    let (said, made) = answer(&door().await, &request).await;
    assert!(said.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{said}");
    assert!(matches!(made, Err(WebSocketFault::Request(_))));
}

#[tokio::test]
async fn a_door_of_another_identity_is_not_believed() {
    let door = door().await;
    let way = Way::Straight(door.local_addr().unwrap());
    let other = Identity::from_seed(&[6; 32]).public();
    let takes = async { door.accept().await.unwrap().admit().await };
    let (dialled, taken) = timeout(SOON, async { tokio::join!(dial(way, other), takes) }).await.unwrap();
    assert!(matches!(dialled, Err(WebSocketFault::Tls(_))) && matches!(taken, Err(WebSocketFault::Tls(_))));
}

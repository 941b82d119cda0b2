//! Follows the edge's feed: the current manifest as the first frame, then one a change; the newest wins.

use crate::limits::{FEED_PING, FEED_RETRY, FEED_SILENCE};
use drawbridge_shared::{
    backoff::Backoff,
    native::{
        edge_client::{EdgeClient, EdgeFault},
        websocket::{Proxies, ProxyFault},
    },
    snapshot::MAX_MANIFEST,
};
use futures_util::{SinkExt, StreamExt};
use rand::RngExt;
use reqwest::Url;
use std::{io, sync::Arc, time::Duration};
use tokio::{net::TcpStream, sync::watch, time};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async_tls_with_config,
    tungstenite::{self, Message, client::IntoClientRequest, http::HeaderValue, protocol::WebSocketConfig},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Why the feed broke off; polling covers for it.
#[derive(Debug, thiserror::Error)]
enum FeedFault {
    #[error(transparent)]
    Edge(#[from] EdgeFault),
    #[error(transparent)]
    Proxy(#[from] ProxyFault),
    #[error("no way to the edge: {0}")]
    Way(#[from] io::Error),
    #[error("{0}")]
    Socket(#[from] tungstenite::Error),
    #[error("nothing heard for {} s", FEED_SILENCE.as_secs())]
    Silent,
    #[error("the edge closed it")]
    Closed,
}

/// Where the feed leaves what it brings.
#[derive(Debug)]
pub(super) struct Push {
    /// The newest manifest.
    pub(super) manifest: watch::Sender<Arc<str>>,
    /// Whether more may come: it is up, and has said at least what is current.
    pub(super) live: watch::Sender<bool>,
}

/// What the feed brought.
#[derive(Debug)]
pub(super) struct Pushed {
    /// The newest manifest.
    pub(super) manifest: watch::Receiver<Arc<str>>,
    /// Whether more may come.
    pub(super) live: watch::Receiver<bool>,
}

/// Nothing yet.
pub(super) fn channel() -> (Push, Pushed) {
    let (manifest, newest) = watch::channel("".into());
    let (live, lives) = watch::channel(false);
    (Push { manifest, live }, Pushed { manifest: newest, live: lives })
}

/// Hands every pushed manifest to `push` until `stop`.
pub(super) async fn follow(edge: EdgeClient, push: Push, stop: CancellationToken) {
    let mut backoff = Backoff::new(FEED_RETRY.0, FEED_RETRY.1);
    let proxies = Proxies::from_environment();
    loop {
        let begun = time::Instant::now();
        tokio::select! {
            () = stop.cancelled() => return,
            Err(fault) = listen(&edge, &proxies, &push) => debug!(%fault, "the feed broke off"),
        }
        push.live.send_if_modified(std::mem::take);
        let wait = backoff.after(begun.elapsed(), rand::rng().random());
        tokio::select! {
            () = stop.cancelled() => return,
            () = time::sleep(wait) => {}
        }
    }
}

async fn listen(edge: &EdgeClient, proxies: &Proxies, push: &Push) -> Result<std::convert::Infallible, FeedFault> {
    let mut socket = time::timeout(FEED_SILENCE, connect(edge, proxies)).await.map_err(|_| FeedFault::Silent)??;
    let mut ping = time::interval(FEED_PING);
    let mut heard = time::Instant::now();
    loop {
        tokio::select! {
            message = socket.next() => {
                heard = time::Instant::now();
                receive(message.ok_or(FeedFault::Closed)??, push)?;
            }
            _ = ping.tick() => ask(&mut socket, heard.elapsed()).await?,
        }
    }
}

async fn connect(edge: &EdgeClient, proxies: &Proxies) -> Result<Socket, FeedFault> {
    let (mut url, token) = edge.address("v1/feed")?;
    let stream = reach(&url, proxies).await?;
    stream.set_nodelay(true)?;
    let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
    url.set_scheme(scheme).map_err(|()| EdgeFault::Unreadable)?;
    let mut request = url.as_str().into_client_request()?;
    let bearer = HeaderValue::try_from(format!("Bearer {}", token.expose())).map_err(|_| EdgeFault::Unreadable)?;
    request.headers_mut().insert("authorization", bearer);
    let bounds = WebSocketConfig::default().max_message_size(Some(MAX_MANIFEST)).max_frame_size(Some(MAX_MANIFEST));
    Ok(client_async_tls_with_config(request, stream, Some(bounds), None).await?.0)
}

/// Through the proxy that calls go through, where the edge is called by https; over plain HTTP there is none for what stays open.
async fn reach(url: &Url, proxies: &Proxies) -> Result<TcpStream, FeedFault> {
    let host = url.host_str().ok_or(EdgeFault::Unreadable)?;
    let target = format!("{host}:{}", url.port_or_known_default().ok_or(EdgeFault::Unreadable)?);
    let way = if url.scheme() == "https" { proxies.way(&target)? } else { None };
    match way {
        Some(way) => Ok(way.connect().await?),
        None => Ok(TcpStream::connect(target).await?),
    }
}

/// The edge's runtime answers `ping` with `pong` without waking anything.
async fn ask(socket: &mut Socket, silence: Duration) -> Result<(), FeedFault> {
    if silence > FEED_SILENCE {
        return Err(FeedFault::Silent);
    }
    Ok(socket.send(Message::text("ping")).await?)
}

fn receive(message: Message, push: &Push) -> Result<(), FeedFault> {
    match message {
        Message::Text(text) if text.as_str() != "pong" => {
            push.manifest.send_replace(text.as_str().into());
            push.live.send_if_modified(|live| !std::mem::replace(live, true));
            Ok(())
        }
        Message::Close(_) => Err(FeedFault::Closed),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    #[tokio::test]
    async fn the_edge_is_reached_through_the_proxy_that_calls_go_through() {
        let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxies = Proxies::fixed(&format!("http://{}", proxy.local_addr().unwrap())).unwrap();
        let serve = async {
            let (mut socket, _) = proxy.accept().await.unwrap();
            let mut request = Vec::with_capacity(4096);
            assert!(socket.read_buf(&mut request).await.unwrap() > 0);
            socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            String::from_utf8(request).unwrap()
        };
        let url = "https://edge.example/v1/feed".parse().unwrap();
        let (request, reached) = tokio::join!(serve, reach(&url, &proxies));
        assert!(request.starts_with("CONNECT edge.example:443 HTTP/1.1\r\n"), "{request}");
        reached.unwrap();
    }
}

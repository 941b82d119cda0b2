//! The one HTTP request of a socket: read within its bounds, and what is answered.

use super::{MAX_HEADERS, MAX_REQUEST, WebSocketFault};
use crate::tunnel::{PATH_STREAM, PATH_TUNNEL, ticket::Ticket};
use bytes::{Buf, BytesMut};
use httparse::Status;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_tungstenite::tungstenite::{
    handshake::server::{create_response, write_response},
    http::{HeaderMap, Request, header::AUTHORIZATION},
};

/// What somebody asks for.
#[derive(Debug)]
pub(super) enum Asked {
    /// A tunnel; with the answer that grants it.
    Tunnel(Vec<u8>),
    /// The socket that a ticket opens; with the answer that grants it.
    Stream(Ticket, Vec<u8>),
    /// Nothing that is here: the answer, and the same in a few words.
    Other(&'static str, &'static str),
}

/// For a ticket that opens nothing.
pub(super) const NO_TICKET: &str = "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 69\r\n\r\n\
    This is a drawbridge daemon's door for agents; there is no page here.";
const UPGRADE: &str =
    "HTTP/1.1 426 Upgrade Required\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n";
/// For what is none of HTTP's, or not in TLS.
pub(super) const BAD: &str = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// Reads one request; what came behind it is handed on.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<(Asked, BytesMut), WebSocketFault> {
    let mut held = BytesMut::with_capacity(1024);
    while held.len() < MAX_REQUEST {
        if stream.read_buf(&mut held).await.map_err(WebSocketFault::Way)? == 0 {
            return Err(WebSocketFault::Way(io::ErrorKind::UnexpectedEof.into()));
        }
        if let Some((asked, length)) = parse(&held) {
            held.advance(length);
            return Ok((asked, held));
        }
    }
    Ok((Asked::Other(BAD, "a request that is too long"), held))
}

/// What `bytes` ask for, and how many of them do; `None` where more have to come.
fn parse(bytes: &[u8]) -> Option<(Asked, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    match head.parse(bytes) {
        Ok(Status::Complete(length)) => {
            let asked = request(&head).map_or(Asked::Other(BAD, "no request of HTTP"), |request| judge(&request));
            Some((asked, length))
        }
        Ok(Status::Partial) => None,
        Err(_) => Some((Asked::Other(BAD, "no request of HTTP"), bytes.len())),
    }
}

fn request(head: &httparse::Request<'_, '_>) -> Option<Request<()>> {
    // tungstenite's own check takes HTTP/1.1 and what follows it.
    let version = if head.version? == 1 {
        tokio_tungstenite::tungstenite::http::Version::HTTP_11
    } else {
        tokio_tungstenite::tungstenite::http::Version::HTTP_10
    };
    let mut request = Request::builder().method(head.method?).uri(head.path?).version(version);
    for header in head.headers.iter() {
        request = request.header(header.name, header.value);
    }
    request.body(()).ok()
}

fn judge(request: &Request<()>) -> Asked {
    let path = request.uri().path();
    if path != PATH_TUNNEL && path != PATH_STREAM {
        return Asked::Other(NOT_FOUND, "a page");
    }
    let Some(answer) = granted(request) else { return Asked::Other(UPGRADE, "no WebSocket") };
    if path == PATH_TUNNEL {
        return Asked::Tunnel(answer);
    }
    ticket(request.headers()).map_or(Asked::Other(NO_TICKET, "a socket without a ticket"), |ticket| Asked::Stream(ticket, answer))
}

/// The answer to a request for a WebSocket, if it is one.
fn granted(request: &Request<()>) -> Option<Vec<u8>> {
    let response = create_response(request).ok()?;
    let mut answer = Vec::new();
    write_response(&mut answer, &response).ok()?;
    Some(answer)
}

fn ticket(headers: &HeaderMap) -> Option<Ticket> {
    Ticket::from_hex(headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADERS: &str = "Host: drawbridge\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    async fn asked(text: &str) -> (Asked, BytesMut) {
        read(&mut text.as_bytes()).await.unwrap()
    }

    #[tokio::test]
    async fn sockets_are_granted_and_what_follows_is_kept() {
        let (tunnel, rest) = asked(&format!("GET /v1/tunnel HTTP/1.1\r\n{HEADERS}\r\nmore")).await;
        // The key and its answer are RFC 6455's own example.
        assert!(matches!(tunnel, Asked::Tunnel(answer) if answer.windows(28).any(|w| w == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
        assert_eq!(&rest[..], b"more");
        let ticket = Ticket([0x2c; 32]);
        let bearer = format!("GET /v1/stream HTTP/1.1\r\n{HEADERS}Authorization: Bearer {}\r\n\r\n", ticket.to_hex());
        assert!(matches!(asked(&bearer).await.0, Asked::Stream(shown, _) if shown == ticket));
    }

    #[tokio::test]
    async fn all_else_is_answered_in_short() {
        let answers = [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "404"),
            ("GET /v1/tunnel HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "426"),
            (format!("POST /v1/tunnel HTTP/1.1\r\n{HEADERS}\r\n"), "426"),
            (format!("GET /v1/tunnel HTTP/1.0\r\n{HEADERS}\r\n"), "426"),
            (format!("GET /v1/stream HTTP/1.1\r\n{HEADERS}\r\n"), "403"),
            (format!("GET /v1/stream HTTP/1.1\r\n{HEADERS}Authorization: Bearer 00\r\n\r\n"), "403"),
            ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), "400"),
            (format!("GET /v1/tunnel HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(MAX_HEADERS + 1)), "400"),
            (format!("GET /{}", "a".repeat(MAX_REQUEST)), "400"),
        ];
        for (request, status) in answers {
            let (asked, _) = asked(&request).await;
            assert!(matches!(asked, Asked::Other(answer, _) if answer[9..].starts_with(status)), "{request}: {asked:?}");
        }
        let (head, body) = NOT_FOUND.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
    }

    #[tokio::test]
    async fn half_a_request_is_an_end() {
        assert!(matches!(read(&mut &b"GET / HT"[..]).await, Err(WebSocketFault::Way(_))));
    }
}

//! The edge as daemon and agent call it: bearer token, ETags, bounded bodies and time.

use super::{bearer::Bearer, tls, websocket::Proxies};
use crate::{api::Problem, token::Token};
use bytes::{Bytes, BytesMut};
use reqwest::{
    Client, Method, RequestBuilder, Response, StatusCode, Url,
    header::{ETAG, HeaderValue, IF_NONE_MATCH},
    redirect::Policy,
    retry::{self, Builder},
};
use serde::Serialize;
use std::{path::PathBuf, sync::Arc, time::Duration};

/// A call to the edge ends after this long.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// A connection to the edge stands after this long, or the call fails.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest answer to a call that brings no document.
const MAX_ANSWER: usize = 64 * 1024;

/// A call to the edge failed.
#[derive(Debug, thiserror::Error)]
pub enum EdgeFault {
    /// No answer.
    #[error("the edge cannot be reached: {}", causes(.0))]
    Unreachable(#[from] reqwest::Error),
    /// The edge says no.
    #[error("the edge answered {status}: {title}{detail}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What happened.
        title: String,
        /// What to do, with `: ` in front, or nothing.
        detail: String,
    },
    /// More than was asked for.
    #[error("the edge answered more than {0} bytes")]
    TooLong(usize),
    /// Not what was asked for.
    #[error("the edge answered what cannot be read: is the address right?")]
    Unreadable,
}

impl EdgeFault {
    /// What is the same as long as nothing new is the matter.
    pub fn kind(&self) -> String {
        match self {
            Self::Unreachable(_) => "unreachable".into(),
            Self::Refused { status, .. } => format!("refused {status}"),
            Self::TooLong(_) => "too long".into(),
            Self::Unreadable => "unreadable".into(),
        }
    }
}

/// The whole chain: reqwest's own words end before the reason.
fn causes(fault: &reqwest::Error) -> String {
    let mut text = fault.to_string();
    let mut cause = std::error::Error::source(fault);
    while let Some(fault) = cause {
        text = format!("{text}: {fault}");
        cause = fault.source();
    }
    text
}

/// Speaks to one edge with one token; cheap to clone.
#[derive(Clone)]
pub struct EdgeClient {
    http: Client,
    base: Url,
    bearer: Arc<Bearer>,
}

/// A document, or word that the held one is current.
#[derive(Debug)]
pub enum Fetched {
    /// A new one.
    New {
        /// For the next question.
        etag: Option<HeaderValue>,
        /// Its bytes.
        body: Bytes,
    },
    /// `304 Not Modified`.
    Unchanged,
}

impl EdgeClient {
    /// Speaks to the edge at `base`, an `http` or `https` address, through the proxy that the environment names.
    pub fn new(base: Url, token: Token) -> Result<Self, EdgeFault> {
        Self::by(base, token, &Proxies::from_environment())
    }

    /// The same by another rule.
    pub fn by(base: Url, token: Token, proxies: &Proxies) -> Result<Self, EdgeFault> {
        tls::be_default();
        let agent = concat!("drawbridge/", env!("CARGO_PKG_VERSION"));
        let builder = proxies.lead(Client::builder().user_agent(agent).redirect(Policy::none()))?;
        let again = again(base.host_str().unwrap_or_default().to_owned());
        let http = builder.timeout(CALL_TIMEOUT).connect_timeout(CONNECT_TIMEOUT).retry(again).build()?;
        Ok(Self { http, base, bearer: Arc::new(Bearer::new(token, None)) })
    }

    /// The same with a token that came from `file`, which is read again when the edge refuses what it held.
    pub fn rereading(self, file: Option<PathBuf>) -> Self {
        Self { bearer: Arc::new(Bearer::new(self.bearer.token(), file)), ..self }
    }

    /// What it shows at present.
    pub fn token(&self) -> Token {
        self.bearer.token()
    }

    /// `GET path`, at most `max` bytes, unless `etag` is still current.
    pub async fn get(&self, path: &str, etag: Option<&HeaderValue>, max: usize) -> Result<Fetched, EdgeFault> {
        let unless_current = |request: RequestBuilder| match etag {
            Some(etag) => request.header(IF_NONE_MATCH, etag),
            None => request,
        };
        let answer = self.send(Method::GET, path, unless_current).await?;
        if answer.status() == StatusCode::NOT_MODIFIED {
            return Ok(Fetched::Unchanged);
        }
        let answer = accepted(answer).await?;
        let etag = answer.headers().get(ETAG).cloned();
        Ok(Fetched::New { etag, body: body(answer, max).await? })
    }

    /// `POST path` with a JSON body.
    pub async fn post<T: Serialize + Sync>(&self, path: &str, body_: &T) -> Result<Bytes, EdgeFault> {
        self.post_within(path, body_, CALL_TIMEOUT).await
    }

    /// The same for who has no more than `patience`.
    pub async fn post_within<T: Serialize + Sync>(&self, path: &str, body_: &T, patience: Duration) -> Result<Bytes, EdgeFault> {
        let answer = self.send(Method::POST, path, |request| request.json(body_).timeout(patience)).await?;
        body(accepted(answer).await?, MAX_ANSWER).await
    }

    /// The address of `path`, and the token: for the feed's own handshake.
    pub fn address(&self, path: &str) -> Result<(Url, Token), EdgeFault> {
        let url = self.base.join(path).map_err(|_| EdgeFault::Unreadable)?;
        Ok((url, self.token()))
    }

    /// Once more where another token is at hand than the one that was refused: nothing was done for that.
    async fn send(
        &self,
        method: Method,
        path: &str,
        complete: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, EdgeFault> {
        let (url, token) = self.address(path)?;
        let ask = |token: &Token| complete(self.http.request(method.clone(), url.clone()).bearer_auth(token.expose())).send();
        let answer = ask(&token).await?;
        let other = (answer.status() == StatusCode::UNAUTHORIZED).then(|| self.bearer.instead_of(&token)).flatten();
        match other {
            Some(other) => Ok(ask(&other).await?),
            None => Ok(answer),
        }
    }
}

impl std::fmt::Debug for EdgeClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EdgeClient({}, {:?})", self.base, self.bearer.token())
    }
}

/// A question may go out on a kept connection that `host` is closing, or has lost with its last restart. It changes nothing
/// there, so it is asked once more on a new one: a login must not fail for that. Within reqwest's budget of a fifth.
fn again(host: String) -> Builder {
    retry::for_host(host).max_retries_per_request(1).classify_fn(|call| match (call.method(), call.error()) {
        (&Method::GET, Some(_)) => call.retryable(),
        _ => call.success(),
    })
}

async fn accepted(answer: Response) -> Result<Response, EdgeFault> {
    if answer.status().is_success() { Ok(answer) } else { Err(refused(answer).await) }
}

async fn refused(answer: Response) -> EdgeFault {
    let status = answer.status();
    let problem = body(answer, MAX_ANSWER).await.ok().and_then(|body| serde_json::from_slice::<Problem>(&body).ok());
    let title = problem.as_ref().map_or_else(|| status.canonical_reason().unwrap_or("no reason").into(), |p| p.title.clone());
    let detail = problem.and_then(|problem| problem.detail).map(|detail| format!(": {detail}"));
    EdgeFault::Refused { status: status.as_u16(), title, detail: detail.unwrap_or_default() }
}

async fn body(mut answer: Response, max: usize) -> Result<Bytes, EdgeFault> {
    let announced = answer.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
    let mut body = BytesMut::with_capacity(announced.min(max));
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > max {
            return Err(EdgeFault::TooLong(max));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::Scope;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    const REFUSAL: &[u8] = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";

    async fn read(socket: &mut TcpStream) -> Vec<u8> {
        let mut request = Vec::with_capacity(4096);
        assert!(socket.read_buf(&mut request).await.unwrap() > 0);
        request
    }

    /// Reads one request; answers it, or lets the connection go.
    async fn hear(socket: &mut TcpStream, answers: bool) {
        read(socket).await;
        if answers {
            socket.write_all(ANSWER).await.unwrap();
        }
    }

    async fn edge() -> (TcpListener, EdgeClient) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        (listener, EdgeClient::new(url, Token::mint(Scope::Daemon, &[1; 32])).unwrap())
    }

    #[tokio::test]
    async fn a_question_lost_with_a_kept_connection_is_asked_again() {
        let (listener, client) = edge().await;
        let serve = async {
            let (mut kept, _) = listener.accept().await.unwrap();
            hear(&mut kept, true).await;
            hear(&mut kept, false).await;
            drop(kept);
            hear(&mut listener.accept().await.unwrap().0, true).await;
        };
        let ask = async {
            for _ in 0..2 {
                assert!(matches!(client.get("x", None, 9).await, Ok(Fetched::New { body, .. }) if body == "ok"));
            }
        };
        tokio::join!(serve, ask);
    }

    #[tokio::test]
    async fn what_may_have_been_done_is_not_done_twice() {
        let (listener, client) = edge().await;
        let serve = async { hear(&mut listener.accept().await.unwrap().0, false).await };
        let (posted, ()) = tokio::join!(client.post("x", &1), serve);
        assert!(matches!(posted, Err(EdgeFault::Unreachable(_))));
    }

    #[tokio::test]
    async fn a_token_that_was_rolled_is_read_again_and_shown() {
        let [old, new] = [1, 2].map(|seed| Token::mint(Scope::Daemon, &[seed; 32]));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, new.expose()).unwrap();
        let (listener, client) = edge().await;
        let client = client.rereading(Some(file));
        let serve = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            for (token, answer) in [(&old, REFUSAL), (&new, ANSWER), (&new, ANSWER)] {
                let request = String::from_utf8(read(&mut socket).await).unwrap();
                assert!(request.contains(token.expose()));
                socket.write_all(answer).await.unwrap();
            }
        };
        let ask = async {
            assert!(client.post("x", &1).await.is_ok());
            assert!(client.get("x", None, 9).await.is_ok());
            assert_eq!(client.address("x").unwrap().1.hash(), new.hash(), "the feed's too");
        };
        tokio::join!(serve, ask);
    }

    #[tokio::test]
    async fn a_given_proxy_is_gone_through_with_its_password() {
        let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxies = Proxies::fixed(&format!("http://agent:open%20sesame@{}", proxy.local_addr().unwrap())).unwrap();
        let edge = "http://edge.example/".parse().unwrap();
        let client = EdgeClient::by(edge, Token::mint(Scope::Agent, &[1; 32]), &proxies).unwrap();
        let serve = async {
            let (mut socket, _) = proxy.accept().await.unwrap();
            let request = String::from_utf8(read(&mut socket).await).unwrap();
            socket.write_all(ANSWER).await.unwrap();
            request
        };
        let (request, answer) = tokio::join!(serve, client.get("x", None, 9));
        assert!(answer.is_ok() && request.starts_with("GET http://edge.example/x HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("proxy-authorization: Basic YWdlbnQ6b3BlbiBzZXNhbWU=\r\n"), "{request}");
    }

    #[tokio::test]
    async fn an_edge_that_only_hangs_up_is_asked_twice_and_no_more() {
        let (listener, client) = edge().await;
        let mut asked = 0;
        let serve = async {
            loop {
                hear(&mut listener.accept().await.unwrap().0, false).await;
                asked += 1;
            }
        };
        let fault = tokio::select! {
            answer = client.get("x", None, 9) => answer.unwrap_err(),
            () = serve => unreachable!(),
        };
        assert_eq!((fault.kind().as_str(), asked), ("unreachable", 2));
    }
}

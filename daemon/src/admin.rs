//! The operator's door on the loopback: metrics, whether the daemon lives, and whether it should be given users.

mod readiness;

use crate::{
    jammed::Jammed,
    limits::{ADMIN_HEADERS, ADMIN_TIMEOUT, MAX_ADMIN},
    metrics::Exhibition,
    snapshot::Snapshots,
};
use bytes::Bytes;
use drawbridge_shared::native::{clock, identity::PublicIdentity};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use readiness::{Seen, readiness};
use std::{convert::Infallible, future, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::debug;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// What it answers from; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    /// What is counted.
    pub(crate) exhibition: Arc<Exhibition>,
    /// What decides logins.
    pub(crate) snapshots: Snapshots,
    /// Who this daemon is.
    pub(crate) identity: PublicIdentity,
    /// Past a snapshot's end.
    pub(crate) grace: Duration,
    /// Fires when nothing new is to begin.
    pub(crate) stop: CancellationToken,
}

impl Admin {
    /// Answers whoever connects to `door` until `until`, which comes after the daemon's last session: a draining daemon
    /// says so.
    pub(crate) async fn run(self, door: TcpListener, until: CancellationToken) {
        let (tasks, places) = (TaskTracker::new(), Arc::new(Semaphore::new(MAX_ADMIN)));
        let mut jammed = Jammed::new("operators");
        loop {
            let accepted = tokio::select! {
                () = until.cancelled() => break,
                accepted = door.accept() => accepted,
            };
            match (accepted, places.clone().try_acquire_owned()) {
                (Ok((socket, _)), Ok(place)) => {
                    let (admin, until) = (self.clone(), until.clone());
                    tasks.spawn(async move {
                        let _ = until.run_until_cancelled(admin.serve(socket)).await;
                        drop(place);
                    });
                }
                (Ok(_), Err(_)) => debug!("too many connections to the admin port"),
                (Err(fault), _) => {
                    jammed.tell(&fault);
                    time::sleep(ADMIN_TIMEOUT).await;
                }
            }
        }
        tasks.close();
        tasks.wait().await;
    }

    async fn serve(self, socket: TcpStream) {
        let answer = service_fn(|request: Request<Incoming>| future::ready(Ok::<_, Infallible>(self.answer(&request))));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(ADMIN_TIMEOUT).max_headers(ADMIN_HEADERS).keep_alive(false);
        if let Err(fault) = http.serve_connection(TokioIo::new(socket), answer).await {
            debug!(%fault, "a call to the admin port broke off");
        }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/metrics") => self.metrics(),
            (&Method::GET | &Method::HEAD, "/healthz") => text(StatusCode::OK, "alive\n"),
            (&Method::GET | &Method::HEAD, "/readyz") => self.ready(),
            (_, "/metrics" | "/healthz" | "/readyz") => {
                let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here\n");
                refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
                refused
            }
            _ => text(StatusCode::NOT_FOUND, "here are /metrics, /healthz and /readyz\n"),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        match self.exhibition.text() {
            Ok(metrics) => answer(StatusCode::OK, OPEN_METRICS, metrics),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n"),
        }
    }

    fn ready(&self) -> Response<Full<Bytes>> {
        let keys = self.snapshots.current();
        let seen = Seen {
            draining: self.stop.is_cancelled(),
            turned_down: self.snapshots.turned_down(),
            held: keys.term(),
            listed: keys.may_name(&self.identity),
        };
        match readiness(seen, clock::now(), self.grace) {
            Ok(()) => text(StatusCode::OK, "ready\n"),
            Err(unready) => answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{unready}\n")),
        }
    }
}

fn text(status: StatusCode, words: &'static str) -> Response<Full<Bytes>> {
    answer(status, TEXT, words)
}

fn answer(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

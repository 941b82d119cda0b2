//! The router's platform in the Workers runtime: beside the Ledger, or where it does not answer.

use super::{ASSETS, KV, ledger::Room, revival::list, unreachable};
use crate::{
    api::{Platform, Unreachable},
    command::{Call, Outcome, Reply},
    names::{Listed, OPENAPI_PATH},
    problem::Failure,
};
use ::worker::{
    Date, Env, Method, Request, console_error,
    kv::KvStore,
    send::{SendFuture, SendWrapper},
};
use axum::response::Response;
use drawbridge_shared::time::Timestamp;
use std::rc::Rc;

/// The Worker's bindings, and where the Ledger is. One type for both places: the router is compiled once.
#[derive(Clone)]
pub(super) struct Edge {
    env: Env,
    ledger: Whereabouts,
}

#[derive(Clone)]
enum Whereabouts {
    /// The runtime has one thread.
    Here(SendWrapper<Rc<Room>>),
    /// What does not take it is answered; the rest is then asked of it.
    Unasked,
    Lost(Unreachable),
}

impl Edge {
    /// In the Durable Object.
    pub(super) fn beside(room: Rc<Room>, env: Env) -> Self {
        Self { env, ledger: Whereabouts::Here(SendWrapper::new(room)) }
    }

    /// Before the Ledger is asked.
    pub(super) const fn before(env: Env) -> Self {
        Self { env, ledger: Whereabouts::Unasked }
    }

    /// Where the Ledger was asked in vain.
    pub(super) const fn without(env: Env, fault: Unreachable) -> Self {
        Self { env, ledger: Whereabouts::Lost(fault) }
    }

    fn kv(&self) -> Result<KvStore, Unreachable> {
        self.env.kv(KV).map_err(unreachable)
    }

    fn room(&self) -> Result<SendWrapper<Rc<Room>>, Unreachable> {
        match &self.ledger {
            Whereabouts::Here(room) => Ok(room.clone()),
            Whereabouts::Unasked => Err(Unreachable("the Ledger was not asked".into())),
            Whereabouts::Lost(fault) => Err(fault.clone()),
        }
    }
}

impl Platform for Edge {
    fn ledger(&self, call: Call) -> impl Future<Output = Result<Reply, Unreachable>> + Send {
        let room = self.room();
        SendFuture::new(async move { room?.0.call(call).await })
    }

    fn feed(&self, call: Call) -> impl Future<Output = Result<Response, Failure>> + Send {
        let room = self.room();
        SendFuture::new(async move {
            let (room, token) = (room?, call.token);
            match room.0.call(call).await?? {
                Outcome::Manifest { text, .. } => room.0.follow(token, &text),
                _ => Err(Failure::internal("the Ledger answered another question")),
            }
        })
    }

    fn kv_get(&self, name: &str) -> impl Future<Output = Result<Option<Vec<u8>>, Unreachable>> + Send {
        // A Ledger that is whole has it all.
        let here = matches!(&self.ledger, Whereabouts::Here(room) if room.0.is_whole());
        let get = (!here).then(|| self.kv().map(|kv| kv.get(name)));
        SendFuture::new(async move {
            match get {
                Some(get) => get?.bytes().await.map_err(unreachable),
                None => Ok(None),
            }
        })
    }

    fn kv_list(&self, prefix: &str, cursor: Option<String>) -> impl Future<Output = Result<Listed, Unreachable>> + Send {
        let (kv, prefix) = (self.kv(), prefix.to_owned());
        SendFuture::new(async move { list(&kv?, &prefix, cursor).await.map_err(unreachable) })
    }

    /// A static asset, which has no part in the Worker's size.
    fn openapi(&self) -> impl Future<Output = Result<Vec<u8>, Unreachable>> + Send {
        let assets = self.env.assets(ASSETS).map_err(unreachable);
        SendFuture::new(async move {
            let request = Request::new(&format!("https://assets{OPENAPI_PATH}"), Method::Get).map_err(unreachable)?;
            let answer = assets?.fetch_request(request).await;
            let mut answer = answer.and_then(::worker::Response::try_from).map_err(unreachable)?;
            if answer.status_code() != 200 {
                return Err(Unreachable(format!("the asset {OPENAPI_PATH}: status {}", answer.status_code())));
            }
            answer.bytes().await.map_err(unreachable)
        })
    }

    fn now(&self) -> Timestamp {
        now()
    }

    fn random(&self) -> Result<[u8; 32], Unreachable> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(unreachable)?;
        Ok(bytes)
    }

    fn log(&self, line: &str) {
        if !matches!(self.ledger, Whereabouts::Unasked) {
            console_error!("{line}");
        }
    }
}

pub(super) fn now() -> Timestamp {
    Timestamp::from_unix(Date::now().as_millis().checked_div(1000).unwrap_or_default())
}

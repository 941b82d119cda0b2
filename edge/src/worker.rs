//! The only room that knows the Workers runtime: requests in, the Durable Object, KV and secrets behind them.
//!
//! The router runs beside the Ledger, in its Durable Object: one call a request, and nothing of it is translated twice.
//! The Worker in front ([`front`]) turns away what bears no token, limits rates, and serves from KV what the Ledger cannot.

mod body;
mod front;
mod ledger;
mod limiter;
mod platform;
mod revival;
mod sql;

use crate::api::Unreachable;
use ::worker::{Context, Env, Request, Response, Result, ScheduleContext, ScheduledEvent, console_error, event};

/// Name of the binding of static assets.
const ASSETS: &str = "ASSETS";
/// Name of the KV binding.
const KV: &str = "KV";
/// Name of the Durable Object's binding, and of its only instance.
const LEDGER: (&str, &str) = ("LEDGER", "ledger");

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    front::answer(request, env).await
}

/// The platform's clock, in case the Durable Object lost its alarm.
#[event(scheduled)]
async fn scheduled(_: ScheduledEvent, env: Env, _: ScheduleContext) {
    if let Err(fault) = front::wake(&env).await {
        console_error!("the Ledger does not wake: {fault}");
    }
}

fn unreachable(fault: impl std::fmt::Display) -> Unreachable {
    Unreachable(fault.to_string())
}

//! A Durable Object that finds itself without rows asks KV whether there was a Ledger before it, and becomes that one.

use super::{KV, ledger::Room, platform::now, unreachable};
use crate::{
    api::Unreachable,
    ledger::rebuild::Step,
    limits::{APPLY_PARALLEL, REBUILD_PAGE, REBUILD_SETTLE},
    names::{self, Listed},
};
use ::worker::{Result, console_log, kv::KvStore};
use drawbridge_shared::time::Timestamp;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::{rc::Rc, time::Duration};

/// Name of the variable that replaces [`REBUILD_SETTLE`], for a KV that is in one place only.
const SETTLE_SECONDS: &str = "REBUILD_SETTLE_SECONDS";

impl Room {
    /// Refuses to answer while this Ledger is not whole.
    pub(super) async fn whole(self: &Rc<Self>) -> std::result::Result<(), Unreachable> {
        if self.is_whole.get() {
            return Ok(());
        }
        self.look_back().await.map_err(unreachable)?;
        self.arm().await;
        let wait = || Unreachable("the Ledger is getting its rows back from KV".into());
        self.is_whole.get().then_some(()).ok_or_else(wait)
    }

    /// Whether there was a Ledger before this one. Asked once, before the first answer.
    async fn look_back(&self) -> Result<()> {
        if !self.core.is_born().map_err(failed)? && self.core.rebuild_step(now()).map_err(failed)?.is_none() {
            let kv = self.env.kv(KV)?;
            let (first, manifest) = (list(&kv, "", None).await?, kv.get(names::MANIFEST).bytes().await?);
            self.core.begin(&first, manifest.as_deref(), now().after(self.settling()), now()).map_err(failed)?;
            if !self.core.is_born().map_err(failed)? {
                console_log!("ledger: no rows here, and some in KV: getting them back");
            }
        }
        self.is_whole.set(self.core.is_born().map_err(failed)?);
        Ok(())
    }

    /// How long KV may lag behind itself.
    fn settling(&self) -> Duration {
        let set = self.env.var(SETTLE_SECONDS).ok().and_then(|seconds| seconds.to_string().parse().ok());
        set.map_or(REBUILD_SETTLE, Duration::from_secs)
    }

    /// When the next step is due, if any.
    pub(super) fn revival_due(&self) -> Option<Timestamp> {
        match self.core.rebuild_step(now()).ok()?? {
            Step::Wait(until) => Some(until),
            Step::Read(..) | Step::Build => Some(now()),
        }
    }

    /// One step, if any is due; one that fails is tried again.
    pub(super) async fn revive(&self) {
        match self.step().await {
            Ok(false) => {}
            Ok(true) => match self.look_back().await {
                Ok(()) if self.is_whole.get() => console_log!("ledger: all rows are back"),
                Ok(()) => {}
                Err(fault) => self.stumble(&fault.to_string()),
            },
            Err(fault) => self.stumble(&format!("a step of the rebuild failed: {fault}")),
        }
    }

    async fn step(&self) -> Result<bool> {
        let Some(step) = self.core.rebuild_step(now()).map_err(failed)? else { return Ok(false) };
        match &step {
            Step::Wait(_) => return Ok(false),
            Step::Build => self.core.build_shards(now()).map_err(failed)?,
            Step::Read(folder, cursor) => {
                let kv = self.env.kv(KV)?;
                let (page, next) = read(&kv, folder, cursor.clone()).await?;
                self.core.take_page(&step, page, next).map_err(failed)?;
            }
        }
        Ok(true)
    }
}

type Page = (Vec<(String, Vec<u8>)>, Option<String>);

/// A page of names.
pub(super) async fn list(kv: &KvStore, prefix: &str, cursor: Option<String>) -> Result<Listed> {
    let mut list = kv.list().prefix(prefix.to_owned()).limit(REBUILD_PAGE);
    if let Some(cursor) = cursor {
        list = list.cursor(cursor);
    }
    let listed = list.execute().await?;
    let names = listed.keys.into_iter().map(|key| key.name).collect();
    Ok((names, listed.cursor.filter(|_| !listed.list_complete)))
}

/// A name whose value is gone meanwhile is left out.
async fn read(kv: &KvStore, folder: &str, cursor: Option<String>) -> Result<Page> {
    let (names, next) = list(kv, folder, cursor).await?;
    let get = async |name: String| Ok::<_, ::worker::Error>(kv.get(&name).bytes().await?.map(|value| (name, value)));
    let values = stream::iter(names).map(get).buffer_unordered(APPLY_PARALLEL);
    let page: Vec<_> = values.try_collect::<Vec<_>>().await?.into_iter().flatten().collect();
    Ok((page, next))
}

fn failed(fault: impl std::fmt::Display) -> ::worker::Error {
    ::worker::Error::RustError(fault.to_string())
}

//! Workers KV by its documentation: one truth, one write a second a name, and locations that remember for a minute.

use drawbridge_edge::names;
use drawbridge_shared::snapshot::Manifest;
use std::collections::BTreeMap;

/// A location remembers what it read for this long, that there was nothing included.
const MEMORY: u64 = 60;

/// The truth, which no location reads directly.
#[derive(Default)]
pub(super) struct Kv {
    values: BTreeMap<String, Vec<u8>>,
    written: BTreeMap<String, u64>,
}

/// What one location remembers.
#[derive(Default)]
pub(super) struct Cache {
    values: BTreeMap<String, Remembered<Option<Vec<u8>>>>,
    lists: BTreeMap<String, Remembered<Vec<String>>>,
}

struct Remembered<T> {
    value: T,
    since: u64,
}

impl Kv {
    /// Refused when the name was written within the last second.
    pub(super) fn write(&mut self, name: &str, value: Option<Vec<u8>>, now: u64) -> Result<(), ()> {
        if self.written.insert(name.into(), now) == Some(now) {
            return Err(());
        }
        match value {
            Some(value) => self.values.insert(name.into(), value),
            None => self.values.remove(name),
        };
        self.manifest_finds_its_shards();
        Ok(())
    }

    /// At every moment: a location without the Ledger has nothing else to serve them from.
    fn manifest_finds_its_shards(&self) {
        let Some(text) = self.values.get(names::MANIFEST) else { return };
        let payload = text.split(|byte| *byte == b'\n').next().unwrap();
        let manifest: Manifest = serde_json::from_slice(payload).unwrap();
        for shard in &manifest.shards {
            shard.check(&self.values[&names::blob(shard.sha256)]).unwrap();
        }
    }

    pub(super) fn values(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.values
    }

    fn list(&self, prefix: &str) -> Vec<String> {
        self.values.keys().filter(|name| name.starts_with(prefix)).cloned().collect()
    }
}

impl Cache {
    pub(super) fn get(&mut self, kv: &Kv, name: &str, now: u64) -> Option<Vec<u8>> {
        remember(&mut self.values, name, now, || kv.values.get(name).cloned())
    }

    pub(super) fn list(&mut self, kv: &Kv, prefix: &str, now: u64) -> Vec<String> {
        remember(&mut self.lists, prefix, now, || kv.list(prefix))
    }
}

fn remember<T: Clone>(held: &mut BTreeMap<String, Remembered<T>>, name: &str, now: u64, read: impl FnOnce() -> T) -> T {
    held.retain(|_, remembered| now - remembered.since < MEMORY);
    held.entry(name.into()).or_insert_with(|| Remembered { value: read(), since: now }).value.clone()
}

//! Rows in the Durable Object's SQLite.

use crate::rows::{Changes, Rows, RowsFault};
use ::worker::{
    Error, SqlStorage, SqlStorageValue as Value, Storage,
    js_sys::{Function, Reflect},
    wasm_bindgen::{JsCast, JsValue, closure::Closure},
};

/// Sorts behind every visible ASCII character.
const END: char = '\u{7f}';

/// One table of names and values.
pub(super) struct Sql {
    storage: Storage,
    sql: SqlStorage,
}

impl Sql {
    /// Makes the table if it is not there; if that fails, so will every use of it.
    pub(super) fn new(storage: Storage) -> Self {
        let sql = storage.sql();
        let _ = sql.exec("CREATE TABLE IF NOT EXISTS rows (name TEXT PRIMARY KEY, value BLOB NOT NULL)", None);
        Self { storage, sql }
    }

    fn read(&self, query: &str, bindings: Vec<Value>) -> Result<Vec<Vec<Value>>, RowsFault> {
        self.sql.exec(query, bindings).and_then(|cursor| cursor.raw().collect()).map_err(fault)
    }
}

impl Rows for Sql {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, RowsFault> {
        let found = self.read("SELECT value FROM rows WHERE name = ?", vec![name.into()])?;
        found.into_iter().flatten().next().map(blob).transpose()
    }

    fn scan(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<(String, Vec<u8>)>, RowsFault> {
        let query = "SELECT name, value FROM rows WHERE name > ? AND name < ? ORDER BY name LIMIT ?";
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let found = self.read(query, vec![after.max(prefix).into(), format!("{prefix}{END}").into(), limit.into()])?;
        found.into_iter().map(row).collect()
    }

    /// One transaction: an error anywhere in it undoes it.
    fn commit(&self, changes: Changes) -> Result<(), RowsFault> {
        let sql = self.sql.clone();
        let all = Closure::once(move || {
            changes.into_iter().try_for_each(|(name, value)| write(&sql, name, value)).map_err(JsValue::from)
        });
        let storage = self.storage.as_raw();
        let transaction: Function = Reflect::get(storage, &"transactionSync".into()).map_err(fault)?.unchecked_into();
        transaction.call1(storage, all.as_ref()).map(drop).map_err(fault)
    }
}

fn write(sql: &SqlStorage, name: String, value: Option<Vec<u8>>) -> Result<(), Error> {
    match value {
        Some(value) => sql.exec("INSERT OR REPLACE INTO rows VALUES (?, ?)", vec![name.into(), value.into()]),
        None => sql.exec("DELETE FROM rows WHERE name = ?", vec![name.into()]),
    }
    .map(drop)
}

fn row(columns: Vec<Value>) -> Result<(String, Vec<u8>), RowsFault> {
    let mut columns = columns.into_iter();
    match (columns.next(), columns.next()) {
        (Some(Value::String(name)), Some(value)) => Ok((name, blob(value)?)),
        _ => Err(RowsFault("a row has other columns than expected".into())),
    }
}

fn blob(value: Value) -> Result<Vec<u8>, RowsFault> {
    match value {
        Value::Blob(bytes) => Ok(bytes),
        _ => Err(RowsFault("a row's value is no blob".into())),
    }
}

fn fault(fault: impl Into<Error>) -> RowsFault {
    RowsFault(fault.into().to_string())
}

//! What came of a case, as named texts that can be compared: no times, and no name that a machine made up.

use drawbridge_shared::hex;
use e2e::Outcome;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Longest text that is compared and shown as it is; longer ones by length and hash.
const SHOWN: usize = 4096;

/// Facts of one case at one server, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// (what stands in the text, under which name it is shown)
    names: Vec<(String, String)>,
    noted: BTreeMap<String, String>,
}

impl Facts {
    /// None yet; `names` are replaced in whatever is noted.
    pub(crate) fn new(names: Vec<(String, String)>) -> Self {
        Self { names, noted: BTreeMap::new() }
    }

    /// From now on `text` is shown as `name`.
    pub(crate) fn hide(&mut self, text: impl ToString, name: &str) {
        self.names.push((text.to_string(), name.to_owned()));
    }

    /// Notes a text.
    pub(crate) fn note(&mut self, name: &str, value: impl ToString) {
        let value = value.to_string();
        let shown = self.names.iter().fold(value, |value, (text, name)| value.replace(text, name));
        self.noted.insert(name.to_owned(), if shown.len() <= SHOWN { shown } else { summary(shown.as_bytes()) });
    }

    /// Notes bytes: as text where they are text and few.
    pub(crate) fn bytes(&mut self, name: &str, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.note(name, text),
            Err(_) if bytes.len() <= SHOWN => self.note(name, bytes.escape_ascii()),
            Err(_) => self.note(name, summary(bytes)),
        }
    }

    /// Notes all that a client's run came to.
    pub(crate) fn outcome(&mut self, name: &str, outcome: &Outcome) {
        let status = outcome.status.map_or_else(|| "a signal".into(), |status| status.to_string());
        self.note(&joined(name, "status"), status);
        self.bytes(&joined(name, "stdout"), &outcome.out);
        self.note(
            &joined(name, "stderr"),
            outcome.err.replace("\r\n", "\n").split_inclusive('\n').map(unnumbered).collect::<String>(),
        );
    }

    /// All of them.
    pub(crate) fn noted(&self) -> &BTreeMap<String, String> {
        &self.noted
    }
}

/// `channel 2: open failed`: the client counts its channels, and which number is free is chance.
fn unnumbered(line: &str) -> String {
    let number = line.strip_prefix("channel ").and_then(|rest| rest.split_once(": "));
    match number.filter(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit())) {
        Some((_, words)) => format!("channel <n>: {words}"),
        None => line.to_owned(),
    }
}

fn summary(bytes: &[u8]) -> String {
    format!("{} bytes, sha256 {}", bytes.len(), hex::encode(&Sha256::digest(bytes)))
}

fn joined(name: &str, part: &str) -> String {
    if name.is_empty() { part.to_owned() } else { format!("{name}: {part}") }
}

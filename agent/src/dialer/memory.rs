//! What worked with a daemon before: its name that is tried first, and each name's transport.

use drawbridge_shared::native::tunnel::Transport;
use std::collections::HashMap;

/// Of one daemon.
#[derive(Debug, Default)]
pub(super) struct Memory<'a> {
    last: Option<&'a str>,
    transports: HashMap<&'a str, Transport>,
}

impl<'a> Memory<'a> {
    /// The daemon was reached under `name` over `transport`.
    pub(super) fn worked(&mut self, name: &'a str, transport: Transport) {
        self.last = Some(name);
        self.transports.insert(name, transport);
    }

    /// What carried the last tunnel to `name`.
    pub(super) fn transport(&self, name: &str) -> Option<Transport> {
        self.transports.get(name).copied()
    }

    /// `names` in the order in which they are tried: one that is dead costs its time once, and not before every tunnel.
    pub(super) fn order(&self, names: &'a [String]) -> impl Iterator<Item = &'a str> {
        let (first, others): (Vec<_>, Vec<_>) = names.iter().map(String::as_str).partition(|name| Some(*name) == self.last);
        first.into_iter().chain(others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_worked_last_is_tried_first() {
        let names = ["a:1", "b:1", "c:1"].map(str::to_owned);
        let mut memory = Memory::default();
        assert_eq!(memory.order(&names).collect::<Vec<_>>(), ["a:1", "b:1", "c:1"]);
        memory.worked("b:1", Transport::WebSocket);
        assert_eq!(memory.order(&names).collect::<Vec<_>>(), ["b:1", "a:1", "c:1"]);
        assert_eq!(memory.transport("b:1"), Some(Transport::WebSocket));
        assert_eq!(memory.transport("a:1"), None);
    }
}

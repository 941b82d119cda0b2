//! The tunnels that an agent is to keep: one to each home daemon, and second ways to them while there are few.

use crate::{homes::homes, limits::MAX_TUNNELS};
use drawbridge_shared::{
    id::{DaemonId, WorkspaceId},
    snapshot::directory::DaemonEntry,
};
use std::fmt;

/// One tunnel to be kept, whichever transport carries it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Line {
    /// Whose other end it is.
    pub(crate) daemon: DaemonId,
    /// That daemon's key, as the directory has it.
    pub(crate) identity: String,
    /// The addresses that it may go to: those of two lines of one daemon are different ones.
    pub(crate) names: Vec<String>,
}

impl fmt::Display for Line {
    /// Its daemon and its first address, which no other line has.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.daemon)?;
        self.names.first().map_or(Ok(()), |name| write!(f, "/{name}"))
    }
}

/// What `workspace` keeps to the daemons of `directory`. Each home has a line; as long as there is room, one that has
/// several addresses has two, so that one way may fail under the sessions.
pub(crate) fn lines(directory: &[DaemonEntry], workspace: &WorkspaceId) -> Vec<Line> {
    let homes = homes(directory, workspace, MAX_TUNNELS);
    let mut room = MAX_TUNNELS - homes.len();
    let mut lines = Vec::with_capacity(MAX_TUNNELS);
    for daemon in homes {
        let ways = if daemon.addresses.len() > 1 && room > 0 { 2 } else { 1 };
        room -= ways - 1;
        lines.extend((0..ways).map(|way| line(daemon, way, ways)));
    }
    lines
}

/// The `way`-th of `ways`, which deal out the addresses.
fn line(daemon: &DaemonEntry, way: usize, ways: usize) -> Line {
    let names = daemon.addresses.iter().skip(way).step_by(ways).cloned().collect();
    Line { daemon: daemon.id.clone(), identity: daemon.identity.clone(), names }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemon(name: &str, addresses: &[&str]) -> DaemonEntry {
        let addresses = addresses.iter().map(|address| (*address).to_owned()).collect();
        DaemonEntry { id: name.parse().unwrap(), region: "eu".into(), identity: String::new(), addresses }
    }

    fn kept(directory: &[DaemonEntry]) -> Vec<String> {
        let mut lines: Vec<_> = lines(directory, &"796636".parse().unwrap())
            .iter()
            .map(|line| format!("{}={}", line.daemon, line.names.join("+")))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn one_daemon_is_reached_in_two_ways_where_it_has_them() {
        assert_eq!(kept(&[daemon("a", &["a1", "a2"])]), ["a=a1", "a=a2"]);
        assert_eq!(kept(&[daemon("a", &["a1", "a2", "a3"])]), ["a=a1+a3", "a=a2"]);
        assert_eq!(kept(&[daemon("a", &["a1"])]), ["a=a1"]);
        assert_eq!(kept(&[]), [""; 0]);
    }

    #[test]
    fn several_daemons_have_a_line_each_and_the_number_is_bounded() {
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| daemon(name, &["x", "y"]));
        assert_eq!(kept(&[daemon("a", &["x"]), daemon("b", &["x"])]), ["a=x", "b=x"]);
        assert_eq!(kept(&[daemon("a", &["x"]), b.clone()]), ["a=x", "b=x", "b=y"]);
        assert_eq!(kept(&[a.clone(), b.clone()]).len(), MAX_TUNNELS);
        let three = kept(&[a.clone(), b.clone(), c.clone()]);
        assert_eq!(three, ["a=x+y", "b=x+y", "c=x+y"]);
        assert_eq!(kept(&[a, b, c, d]).len(), MAX_TUNNELS);
    }

    #[test]
    fn a_line_is_called_by_what_no_other_has() {
        let lines = lines(&[daemon("a", &["a1:443", "a2:443"])], &"796636".parse().unwrap());
        assert_eq!(lines.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a/a1:443", "a/a2:443"]);
    }
}

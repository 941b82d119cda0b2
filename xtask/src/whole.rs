//! What this machine cannot have: tests that need it are left out and told of at the end, unless all are demanded.

use anyhow::{Error, Result};
use std::{
    collections::BTreeSet,
    env,
    fmt::{Display, Formatter, Result as Written},
    fs::File,
    io::Write,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Set where nothing may be left out.
pub(crate) const DEMANDED: &str = "DRAWBRIDGE_WHOLE";
/// A file for what was left out, where somebody runs several suites and tells of all of them.
pub(crate) const LIST: &str = "DRAWBRIDGE_LEFT_OUT";

static LEFT_OUT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// In a fault's chain: no test is to fail for it.
#[derive(Debug)]
struct Lacking;

impl Display for Lacking {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        f.write_str("this machine cannot run it")
    }
}

/// Passes on what was looked for. Where it was not found, a test that goes no further is left out.
pub fn needed<T>(found: Result<T>) -> Result<T> {
    needed_unless(env::var_os(DEMANDED).is_some(), found)
}

fn needed_unless<T>(demanded: bool, found: Result<T>) -> Result<T> {
    if demanded { found } else { found.map_err(|fault| fault.context(Lacking)) }
}

/// Whether `what`, which ended with `fault`, is left out for that; notes it then.
pub fn leaves_out(what: &str, fault: &Error) -> bool {
    let lacking = fault.is::<Lacking>();
    if lacking {
        left_out().insert(format!("{what}: {fault:#}"));
    }
    lacking
}

/// Tells of all that was left out, or leaves that to who asked for the list. For the end of a suite.
pub fn tell() {
    let lines: String = left_out().iter().map(|line| format!("{line}\n")).collect();
    let listed = env::var_os(LIST).and_then(|list| File::options().append(true).open(list).ok());
    if listed.is_none_or(|mut list| list.write_all(lines.as_bytes()).is_err()) {
        say(&lines);
    }
}

/// Says what `lines` list, if anything.
pub(crate) fn say(lines: &str) {
    if !lines.is_empty() {
        eprintln!("\nleft out (with {DEMANDED}=1 that is a failure):\n{lines}");
    }
}

fn left_out() -> MutexGuard<'static, BTreeSet<String>> {
    LEFT_OUT.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn only_what_a_machine_lacks_is_left_out_and_only_where_not_all_is_demanded() {
        let missing = |demanded| needed_unless(demanded, Err::<(), _>(anyhow!("no sshd"))).unwrap_err();
        assert!(leaves_out("a suite", &missing(false)) && !leaves_out("a suite", &missing(true)));
        assert!(!leaves_out("a suite", &anyhow!("it is broken")));
        assert_eq!(left_out().iter().collect::<Vec<_>>(), ["a suite: this machine cannot run it: no sshd"]);
    }
}

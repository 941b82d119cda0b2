//! How many files this process may hold open: raised as far as it goes, for itself and not for what it starts.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::OnceLock;
use tracing::warn;

/// Before it was raised.
static GIVEN: OnceLock<Rlimit> = OnceLock::new();

/// Raises the soft limit to the hard one, and returns it; `None` is no limit.
pub fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    GIVEN.get_or_init(|| limit);
    let Rlimit { current, maximum } = limit;
    if current.is_some() && current != maximum {
        let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        if let Err(fault) = raised {
            warn!(%fault, "cannot raise the limit of open files");
        }
    }
    getrlimit(Resource::Nofile).current
}

/// What programs are to have: the soft limit that this process was started with, below the hard one of now. `None` where it was not
/// raised.
pub fn given() -> Option<Rlimit> {
    let given = GIVEN.get()?;
    Some(Rlimit { current: given.current, maximum: getrlimit(Resource::Nofile).maximum })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one_and_is_remembered() {
        let before = getrlimit(Resource::Nofile);
        assert_eq!(raise(), before.maximum);
        raise();
        assert_eq!(given(), Some(before));
    }
}

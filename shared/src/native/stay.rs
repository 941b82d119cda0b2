//! Waits until a grant that let somebody in is one no longer: one loop for both verifiers.

use super::clock;
use crate::revocation::{Revocation, Stay};
use tokio::sync::watch;

/// Decides again with every new state, and when the last second that `decide` named is over, until what lives may not stay.
pub async fn until_revoked<T>(mut states: watch::Receiver<T>, mut decide: impl FnMut(&T) -> Stay) -> Revocation {
    let mut last = None;
    loop {
        let stay = decide(&states.borrow_and_update());
        match stay {
            Ok(until) => last = until,
            Err(revocation) => return revocation.of_key_until(last, clock::now()),
        }
        tokio::select! {
            Ok(()) = states.changed() => {}
            () = clock::passed(last) => {}
        }
    }
}

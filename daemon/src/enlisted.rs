//! Whether the signed directory names this daemon: agents dial whom it names, and nobody else.

use crate::{keyset::KeySet, limits::ENLISTING};
use drawbridge_shared::native::identity::PublicIdentity;
use std::{convert::Infallible, sync::Arc};
use tokio::{
    sync::watch::{Receiver, error::RecvError},
    time,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Who is not named, and what to do.
pub(crate) const UNLISTED: &str = "this daemon's identity is not the one that is registered, and no agent comes here: put the former file \
     `identity` back into its state folder, or register what `drawbridge-daemon identity` prints by PUT /api/operator/daemons/{id}";

/// Tells the log when that changes, until `end`.
pub(crate) async fn run(views: Receiver<Arc<KeySet>>, identity: PublicIdentity, end: CancellationToken) {
    let tell = |listed| if listed { info!("this daemon's identity is registered now") } else { warn!("{UNLISTED}") };
    // The views end with their keeper, and that is the daemon's end too.
    let _ = end.run_until_cancelled(follow(views, &identity, tell)).await;
}

/// One that was just started is registered in a moment.
async fn follow(
    mut views: Receiver<Arc<KeySet>>,
    identity: &PublicIdentity,
    mut tell: impl FnMut(bool),
) -> Result<Infallible, RecvError> {
    loop {
        views.wait_for(|view| !view.may_name(identity)).await?;
        if let Ok(named) = time::timeout(ENLISTING, views.wait_for(|view| view.may_name(identity))).await {
            named?;
            continue;
        }
        tell(false);
        views.wait_for(|view| view.may_name(identity)).await?;
        tell(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyset::tests::keyset_with_daemon;
    use drawbridge_shared::native::identity::Identity;
    use std::time::Duration;
    use tokio::sync::watch;

    #[tokio::test(start_paused = true)]
    async fn a_daemon_that_is_not_named_is_told_of_once_and_not_in_its_first_moment() {
        let [own, other] = [1, 2].map(|seed| Identity::from_seed(&[seed; 32]).public());
        let naming = |identity| Arc::new(keyset_with_daemon(&[], &[("eu-1", "eu", identity)]));
        let (view, views) = watch::channel(Arc::default());
        let mut told = Vec::new();
        let script = async {
            for (identity, seconds) in [(other, 1), (own, 60), (other, 60), (other, 60), (own, 60)] {
                view.send_replace(naming(identity));
                time::sleep(Duration::from_secs(seconds)).await;
            }
        };
        tokio::select! {
            _ = follow(views, &own, |listed| told.push(listed)) => {}
            () = script => {}
        }
        assert_eq!(told, [false, true]);
    }
}

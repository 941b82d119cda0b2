//! A strand's end: its application's, and then for a bounded time what carries it.

use std::{future::Future, time::Duration};
use tokio::time;

/// Both to their end. Once its application is `served`, the other side has so long to confirm that it heard, or could keep for ever what
/// the strand holds.
pub async fn see_out(
    mut served: impl Future<Output = ()> + Unpin,
    mut carried: impl Future<Output = ()> + Unpin,
    bound: Duration,
) {
    tokio::select! {
        () = &mut served => drop(time::timeout(bound, carried).await),
        () = &mut carried => served.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    #[tokio::test(start_paused = true)]
    async fn a_side_that_does_not_confirm_the_end_is_waited_for_no_longer() {
        const BOUND: Duration = Duration::from_secs(30);
        let lasts = async |served: Duration, carried: Duration| {
            let begun = time::Instant::now();
            see_out(pin!(time::sleep(served)), pin!(time::sleep(carried)), BOUND).await;
            begun.elapsed().as_secs()
        };
        let (short, long) = (Duration::from_secs(1), Duration::from_secs(86_400));
        assert_eq!(lasts(short, long).await, 1 + BOUND.as_secs());
        assert_eq!(lasts(short, 2 * short).await, 2);
        assert_eq!(lasts(long, short).await, long.as_secs());
    }
}

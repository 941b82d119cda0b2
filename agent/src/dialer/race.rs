//! A race with head starts: each runner begins a while after the one before, or as soon as one before has failed.

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// One who runs.
pub(super) type Runner<'a, T, E> = BoxFuture<'a, Result<T, E>>;

/// The first who succeeds, with the faults of those who had failed by then; or all faults. Runners that are not needed any
/// more are dropped.
pub(super) async fn race<T, E>(runners: Vec<Runner<'_, T, E>>, head_start: Duration) -> Result<(T, Vec<E>), Vec<E>> {
    let mut waiting = runners.into_iter();
    let mut running: FuturesUnordered<_> = waiting.next().into_iter().collect();
    let mut faults = Vec::new();
    let mut next_start = Instant::now() + head_start;
    loop {
        tokio::select! {
            biased;
            done = running.next() => match done {
                Some(Ok(won)) => return Ok((won, faults)),
                Some(Err(fault)) => faults.push(fault),
                None => return Err(faults),
            },
            () = sleep_until(next_start), if waiting.len() > 0 => {}
        }
        running.extend(waiting.next());
        next_start = Instant::now() + head_start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use tokio::time::sleep;

    const HEAD_START: Duration = Duration::from_millis(300);

    /// Takes `ms` to win or to fail, and says then when that was since `begin`.
    fn runner(begin: Instant, ms: u64, wins: bool) -> Runner<'static, u64, u64> {
        async move {
            sleep(Duration::from_millis(ms)).await;
            let at = begin.elapsed().as_millis() as u64;
            if wins { Ok(at) } else { Err(at) }
        }
        .boxed()
    }

    async fn outcome(runners: &[(u64, bool)]) -> Result<(u64, Vec<u64>), Vec<u64>> {
        let begin = Instant::now();
        race(runners.iter().map(|(ms, wins)| runner(begin, *ms, *wins)).collect(), HEAD_START).await
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_has_the_course_to_itself_for_a_while() {
        assert_eq!(outcome(&[(299, true), (0, true)]).await, Ok((299, vec![])));
        assert_eq!(outcome(&[(5000, true), (10, true)]).await, Ok((310, vec![])));
        assert_eq!(outcome(&[(400, true), (200, true)]).await, Ok((400, vec![])));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_starts_the_next_at_once() {
        assert_eq!(outcome(&[(2, false), (10, true)]).await, Ok((12, vec![2])));
        assert_eq!(outcome(&[(2, false), (10, false), (1, true)]).await, Ok((13, vec![2, 12])));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_wins_where_all_fail() {
        assert_eq!(outcome(&[(500, false), (10, false)]).await, Err(vec![310, 500]));
        assert_eq!(outcome(&[]).await, Err(vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_first_still_wins_when_the_others_fail() {
        assert_eq!(outcome(&[(900, true), (10, false), (10, false)]).await, Ok((900, vec![310, 320])));
    }
}

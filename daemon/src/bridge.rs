//! Bytes both ways until both ends are done; knows neither SSH nor QUIC.

use bytes::Bytes;
use std::{future::Future, io, time::Duration};
use tokio::time;
use tokio_util::sync::CancellationToken;

/// Where bytes come from.
pub trait Source {
    /// The next bytes; `None` at an orderly end.
    fn next(&mut self) -> impl Future<Output = io::Result<Option<Bytes>>> + Send;
}

/// Where bytes go.
pub trait Sink {
    /// Hands `bytes` on, as fast as they are taken.
    fn send(&mut self, bytes: Bytes) -> impl Future<Output = io::Result<()>> + Send;
    /// Says that no more will come.
    fn finish(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

/// Bytes that are taken of a source though nobody hears them: one that answers what it is given, with windows and last words, would
/// break over its own answer before it has read all of that.
const UNHEARD: usize = 64 << 10;
/// So long after the last it was given: that takes a round trip.
const ANSWERED: Duration = Duration::from_secs(2);

/// What crossed a bridge, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// From left to right.
    pub up: u64,
    /// From right to left.
    pub down: u64,
}

/// How one direction ended.
enum Ended {
    /// Its source came to an orderly end, or its sink takes no more: the other direction goes on.
    Quietly,
    /// Its source broke: nothing more can come of either direction.
    Broken(io::Error),
}

/// Carries bytes from left to right and back. An end in one direction is passed on as an end, and the other direction
/// goes on; a source that breaks ends both, and its fault is returned. Once the right source has ended, `over` says that the right
/// sink takes no more either. `gone` says that nobody is behind the left sink, whatever that is waiting for: the right source is dropped
/// once it has said [`UNHEARD`] more or [`ANSWERED`] after the left source's end, and what that still has goes on. `tally` counts
/// throughout.
pub async fn bridge(
    (left_source, left_sink): (&mut (impl Source + Send), &mut (impl Sink + Send)),
    (right_source, right_sink): (impl Source + Send, &mut (impl Sink + Send)),
    tally: &mut Tally,
    (gone, over): (impl Future<Output = ()>, impl Future<Output = ()>),
) -> io::Result<()> {
    let Tally { up, down } = tally;
    let said = CancellationToken::new();
    let up = async {
        let ended = carry(left_source, right_sink, up).await;
        said.cancel();
        ended
    };
    let down = carry_until((gone, &said), right_source, left_sink, down);
    tokio::pin!(up, down);
    let first = tokio::select! {
        ended = &mut up => (ended, Direction::Up),
        ended = &mut down => (ended, Direction::Down),
    };
    match first {
        (Ended::Broken(fault), _) => Err(fault),
        (Ended::Quietly, Direction::Up) => down.await.into(),
        (Ended::Quietly, Direction::Down) => tokio::select! {
            ended = up => ended.into(),
            () = over => Ok(()),
        },
    }
}

enum Direction {
    Up,
    Down,
}

impl From<Ended> for io::Result<()> {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Quietly => Ok(()),
            Ended::Broken(fault) => Err(fault),
        }
    }
}

/// The same until `gone`; `from` ends soon after it, once all is `said` that it may have to answer.
async fn carry_until(
    (gone, said): (impl Future<Output = ()>, &CancellationToken),
    mut from: impl Source,
    to: &mut impl Sink,
    count: &mut u64,
) -> Ended {
    tokio::select! {
        ended = carry(&mut from, to, count) => ended,
        () = gone => {
            let answered = async { said.cancelled().await; time::sleep(ANSWERED).await };
            tokio::select! {
                () = forget(from) => {}
                () = answered => {}
            }
            Ended::Quietly
        }
    }
}

/// Takes what `from` still says, and lets it go.
async fn forget(mut from: impl Source) {
    let mut left = UNHEARD;
    while let Ok(Some(bytes)) = from.next().await {
        match left.checked_sub(bytes.len()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

async fn carry(from: &mut impl Source, to: &mut impl Sink, count: &mut u64) -> Ended {
    loop {
        match from.next().await {
            Ok(Some(bytes)) => {
                let length = bytes.len() as u64;
                if to.send(bytes).await.is_err() {
                    return Ended::Quietly;
                }
                *count += length;
            }
            Ok(None) => {
                // Fails only when nobody listens any more, which the other direction finds out.
                let _ = to.finish().await;
                return Ended::Quietly;
            }
            Err(fault) => return Ended::Broken(fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::{future, pin::pin};
    use tokio::sync::{mpsc, oneshot};

    type Piece = io::Result<Option<Bytes>>;

    /// One end: what it will say, and what it heard.
    struct Half {
        says: mpsc::Receiver<Piece>,
    }

    #[derive(Default)]
    struct Heard {
        bytes: Vec<u8>,
        finished: bool,
        deaf: bool,
        /// It takes nothing now, and never says so.
        stuck: bool,
    }

    impl Source for Half {
        async fn next(&mut self) -> Piece {
            match self.says.recv().await {
                Some(piece) => piece,
                None => future::pending().await,
            }
        }
    }

    impl Sink for Heard {
        async fn send(&mut self, bytes: Bytes) -> io::Result<()> {
            if self.deaf {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            if self.stuck {
                future::pending::<()>().await;
            }
            self.bytes.extend_from_slice(&bytes);
            Ok(())
        }

        async fn finish(&mut self) -> io::Result<()> {
            self.finished = true;
            Ok(())
        }
    }

    fn saying(pieces: Vec<Piece>) -> Half {
        let (tell, says) = mpsc::channel(8);
        pieces.into_iter().for_each(|piece| tell.try_send(piece).unwrap());
        Half { says }
    }

    fn data(text: &'static str) -> Piece {
        Ok(Some(Bytes::from_static(text.as_bytes())))
    }

    async fn run(left: Vec<Piece>, right: Vec<Piece>, deaf: bool) -> (io::Result<()>, Heard, Heard, Tally) {
        run_until(left, right, deaf, future::pending()).await
    }

    async fn run_until(
        left: Vec<Piece>,
        right: Vec<Piece>,
        deaf: bool,
        over: impl Future<Output = ()>,
    ) -> (io::Result<()>, Heard, Heard, Tally) {
        let (mut left, right) = (saying(left), saying(right));
        let (mut at_left, mut at_right) = (Heard::default(), Heard { deaf, ..Heard::default() });
        let mut tally = Tally::default();
        let until = (future::pending(), over);
        let ended = bridge((&mut left, &mut at_left), (right, &mut at_right), &mut tally, until).await;
        (ended, at_left, at_right, tally)
    }

    #[tokio::test]
    async fn an_end_is_passed_on_and_the_other_direction_goes_on() {
        let (ended, left, right, tally) =
            run(vec![data("ask"), Ok(None)], vec![data("long "), data("answer"), Ok(None)], false).await;
        ended.unwrap();
        assert_eq!((&right.bytes[..], right.finished), (&b"ask"[..], true));
        assert_eq!((&left.bytes[..], left.finished), (&b"long answer"[..], true));
        assert_eq!(tally, Tally { up: 3, down: 11 });
    }

    #[tokio::test]
    async fn a_deaf_end_still_says_its_last_words() {
        let (ended, left, _, _) = run(vec![data("more")], vec![data("goodbye"), Ok(None)], true).await;
        ended.unwrap();
        assert_eq!((&left.bytes[..], left.finished), (&b"goodbye"[..], true));
    }

    #[tokio::test]
    async fn one_that_neither_says_nor_takes_any_more_is_done() {
        let (ended, left, right, tally) =
            run_until(vec![data("ask")], vec![data("answer"), Ok(None)], false, future::ready(())).await;
        ended.unwrap();
        assert_eq!((&left.bytes[..], left.finished, right.finished), (&b"answer"[..], true, false));
        assert_eq!(tally.down, 6);
    }

    #[tokio::test]
    async fn where_nobody_listens_any_more_a_source_with_much_to_say_is_dropped_and_what_was_said_still_goes_on() {
        let (says, said) = mpsc::channel(8);
        let (mut left, (mut at_left, mut at_right)) =
            (Half { says: said }, (Heard { stuck: true, ..Heard::default() }, Heard::default()));
        let (tell, right) = mpsc::channel(8);
        tell.try_send(data("more than it has room for")).unwrap();
        let (goes, gone) = oneshot::channel::<()>();
        let mut tally = Tally::default();
        let until = (gone.map(drop), future::pending());
        {
            let source = Half { says: right };
            let mut bridged = pin!(bridge((&mut left, &mut at_left), (source, &mut at_right), &mut tally, until));
            assert!(bridged.as_mut().now_or_never().is_none());
            drop(goes);
            assert!(bridged.as_mut().now_or_never().is_none() && !tell.is_closed(), "a word is no break");
            for _ in 0..2 {
                tell.try_send(Ok(Some(Bytes::from(vec![0; UNHEARD])))).unwrap();
            }
            assert!(bridged.as_mut().now_or_never().is_none() && tell.is_closed(), "it is told");
            says.try_send(data("last words")).unwrap();
            says.try_send(Ok(None)).unwrap();
            bridged.await.unwrap();
        }
        assert_eq!((&at_right.bytes[..], at_right.finished), (&b"last words"[..], true));
        assert_eq!(tally, Tally { up: 10, down: 0 });
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_says_nothing_to_nobody_is_dropped_soon_after_all_was_said() {
        let (mut left, mut at_left, mut at_right) =
            (saying(vec![data("last words"), Ok(None)]), Heard::default(), Heard::default());
        let (tell, right) = mpsc::channel(8);
        let (mut tally, until) = (Tally::default(), (future::ready(()), future::pending()));
        let bridged = bridge((&mut left, &mut at_left), (Half { says: right }, &mut at_right), &mut tally, until);
        time::timeout(2 * ANSWERED, bridged).await.unwrap().unwrap();
        assert!(tell.is_closed() && at_right.bytes == b"last words" && at_right.finished);
    }

    #[tokio::test]
    async fn a_break_ends_both_and_is_no_end() {
        let (ended, left, right, _) = run(vec![], vec![data("half"), Err(io::ErrorKind::ConnectionReset.into())], false).await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(left.bytes, b"half");
        assert!(!left.finished && !right.finished);
    }
}

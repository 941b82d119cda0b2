//! How a program's client goes: it closes the channel, their connection ends, or we end that.

use tokio::select;
use tokio_util::sync::CancellationToken;

/// Of one channel; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Departure {
    /// Fires when the channel or its connection is gone.
    gone: CancellationToken,
    /// Fires before that where it is the client that closes the channel: what it sent until then is its program's.
    closed: CancellationToken,
    /// Fires when we have ended the connection.
    dismissed: CancellationToken,
}

impl Departure {
    /// Of a channel that is `gone` at some time, on a connection that may be `dismissed`.
    pub(super) fn new(gone: CancellationToken, dismissed: CancellationToken) -> Self {
        Self { gone, closed: CancellationToken::new(), dismissed }
    }

    /// The client closes the channel; that it is gone is still to come.
    pub(super) fn closes(&self) {
        self.closed.cancel();
    }

    /// Whether it was the client that closed the channel.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// What comes of `future` while somebody hears of it.
    pub(super) async fn while_heard<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        self.gone.run_until_cancelled(future).await
    }

    /// What comes of `future` while its program is still to run: also once its client has closed the channel.
    pub(super) async fn while_wanted<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        select! {
            biased;
            () = self.unwanted() => None,
            done = future => Some(done),
        }
    }

    /// The channel or its connection is gone.
    pub(super) async fn gone(&self) {
        self.gone.cancelled().await;
    }

    /// Nobody wants anything of the program any more.
    pub(super) async fn unwanted(&self) {
        self.gone().await;
        if self.is_closed() {
            self.dismissed.cancelled().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn departure() -> (Departure, CancellationToken, CancellationToken) {
        let (gone, dismissed) = (CancellationToken::new(), CancellationToken::new());
        (Departure::new(gone.clone(), dismissed.clone()), gone, dismissed)
    }

    #[test]
    fn a_connection_that_ends_wants_nothing_more() {
        let (departure, gone, _dismissed) = departure();
        assert_eq!(departure.while_wanted(async { 7 }).now_or_never(), Some(Some(7)));
        assert_eq!(departure.unwanted().now_or_never(), None);
        gone.cancel();
        assert_eq!(departure.while_wanted(async { 7 }).now_or_never(), Some(None));
    }

    #[test]
    fn a_client_that_closed_its_channel_is_not_heard_of_but_its_program_is_wanted_until_it_is_sent_away() {
        let (departure, gone, dismissed) = departure();
        departure.closes();
        gone.cancel();
        assert_eq!(departure.while_heard(async { 7 }).now_or_never(), Some(None));
        assert_eq!(departure.while_wanted(async { 7 }).now_or_never(), Some(Some(7)));
        dismissed.cancel();
        assert_eq!(departure.while_wanted(async { 7 }).now_or_never(), Some(None));
    }
}

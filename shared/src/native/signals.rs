//! The signals that end a program: the first has it stop, the second ends it.

use std::{convert::Infallible, future::Future, io};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How a program is told to end.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// Fires when nothing new is to begin.
    pub stop: CancellationToken,
    /// Fires when what runs is to end now.
    pub end: CancellationToken,
}

impl Tokens {
    /// Hears SIGTERM and Ctrl-C from now on; what is returned fires the tokens.
    pub fn heed(self) -> io::Result<impl Future<Output = Infallible>> {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if self.stop.is_cancelled() {
                    self.end.cancel();
                }
                self.stop.cancel();
            }
        })
    }
}

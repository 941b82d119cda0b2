//! Session channels at the jump host itself: asked once, answered once, closed.

use super::greeting;
use crate::limits::{ANSWER_DEADLINE, MAX_ANSWERS};
use russh::{Channel, ChannelId, ChannelWriteHalf, Error, server::Msg};
use std::collections::{HashMap, HashSet};
use tokio::time;

/// RFC 4254 section 5.2: the extended data that is standard error.
const STANDARD_ERROR: u32 = 1;

/// Those of one connection that are open and have not asked yet.
#[derive(Default)]
pub(super) struct Desk {
    waiting: HashMap<ChannelId, Guest>,
    /// Answered, and not closed by their clients yet.
    answered: HashSet<ChannelId>,
}

/// One that is to be answered.
pub(super) struct Guest {
    outbound: ChannelWriteHalf<Msg>,
    terminal: bool,
}

/// What a guest is told.
pub(super) enum Answer {
    /// On standard output, with exit status 0.
    Greeting(String),
    /// On standard error, with exit status 1.
    Refusal(String),
}

impl Desk {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether one more may come: those that wait and those that were answered count.
    pub(super) fn has_room(&self) -> bool {
        self.answered.len() + self.waiting.len() < MAX_ANSWERS
    }

    /// One more.
    pub(super) fn seat(&mut self, channel: Channel<Msg>) {
        let (_, outbound) = channel.split();
        self.waiting.insert(outbound.id(), Guest { outbound, terminal: false });
    }

    /// It has a terminal; `false` when it is not waiting.
    pub(super) fn terminal(&mut self, id: ChannelId) -> bool {
        self.waiting.get_mut(&id).map(|guest| guest.terminal = true).is_some()
    }

    /// It asks, and is to be answered.
    pub(super) fn call(&mut self, id: ChannelId) -> Option<Guest> {
        let guest = self.waiting.remove(&id)?;
        self.answered.insert(id);
        Some(guest)
    }

    /// Its client closed it, with an answer or without a question.
    pub(super) fn left(&mut self, id: ChannelId) {
        self.waiting.remove(&id);
        self.answered.remove(&id);
    }
}

impl Guest {
    /// Tells it, within a bounded time, and closes.
    pub(super) async fn answer(self, answer: Answer) {
        // A client that takes nothing, or is gone, is not told.
        let _ = time::timeout(ANSWER_DEADLINE, self.tell(answer)).await;
        let _ = self.outbound.close().await;
    }

    async fn tell(&self, answer: Answer) -> Result<(), Error> {
        let status = match answer {
            Answer::Greeting(text) => {
                self.outbound.data_bytes(self.lines(&text)).await?;
                0
            }
            Answer::Refusal(text) => {
                self.outbound.extended_data_bytes(STANDARD_ERROR, self.lines(&text)).await?;
                1
            }
        };
        self.outbound.exit_status(status).await?;
        self.outbound.eof().await
    }

    fn lines(&self, text: &str) -> Vec<u8> {
        if self.terminal { greeting::for_terminal(text).into() } else { text.into() }
    }
}

//! The handler's part in forwarding: channels put on their way, and refusals told where SSH has a place for them.

use super::{Connection, refuse};
use crate::ssh::forward::{Denied, Errand, Unasked};
use russh::{
    Channel, ChannelId, Error,
    server::{ChannelOpenHandle, Msg, Session as Wire},
};

impl<A> Connection<A> {
    /// Sends `errand` on its way; the client is answered when it is known how that went.
    pub(super) async fn carry(&mut self, channel: Channel<Msg>, errand: Result<Errand, Denied>, reply: ChannelOpenHandle) {
        let room = self.channels.has_room();
        match errand.and_then(|errand| room.then_some(errand).ok_or(Denied::Channels)) {
            Ok(errand) => {
                let inbound = self.channels.carry(channel.id());
                let (_, outbound) = channel.split();
                self.forwards.run(errand, inbound, outbound, reply);
            }
            Err(denied) => {
                tracing::info!(client = %self.peer.client, %denied, "forwarding refused");
                refuse(reply, denied.code(), &denied.to_string()).await;
            }
        }
    }

    /// A channel that we opened is there: its data may follow at once.
    pub(super) fn confirm(&mut self, id: ChannelId, wire: &mut Wire) -> Result<Result<(), Unasked>, Error> {
        if self.channels.holds(id) {
            return Ok(Err(Unasked));
        }
        let inbound = self.channels.has_room().then(|| self.channels.carry(id));
        if inbound.is_none() {
            tracing::warn!(client = %self.peer.client, denied = %Denied::Channels, "forwarding refused");
            self.channels.turn_away(id);
            wire.close(id)?;
        }
        Ok(self.forwards.confirmed(id, inbound))
    }
}

/// What was allowed. A refused request has no place for words: they go in a debug message, as sshd's do (`ssh -v` shows it).
pub(super) fn allowed<T>(wire: &mut Wire, outcome: Result<T, Denied>) -> Result<Option<T>, Error> {
    match outcome {
        Ok(allowed) => Ok(Some(allowed)),
        Err(denied) => {
            tracing::info!(%denied, "forwarding refused");
            wire.debug(false, &denied.to_string(), "")?;
            Ok(None)
        }
    }
}

//! What russh asks about an outer connection: translated and returned, never waiting for a peer's data.

use super::{Answer, Visitor};
use crate::{denial::Denial, witness::Who};
use bytes::Bytes;
use drawbridge_shared::{
    fingerprint::Fingerprint,
    native::ssh::{BROKEN_PROMISE, is_of, is_sha1},
};
use russh::{
    Channel, ChannelId, Disconnect, Error, Pty, Sig,
    client::GexParams,
    kex::dh::groups::DhGroup,
    keys::Certificate,
    server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Response, Session, VerifiedPublicKey},
};

#[deny(clippy::missing_trait_methods, reason = "what russh does by itself may be an answer that nobody wanted")]
impl Handler for Visitor {
    type Error = Error;

    /// No group exchange is offered.
    async fn lookup_dh_gex_group(&mut self, _: &GexParams) -> Result<Option<DhGroup>, Error> {
        Ok(None)
    }

    async fn auth_none(&mut self, _: &str) -> Result<Auth, Error> {
        Ok(Auth::reject())
    }

    async fn auth_password(&mut self, _: &str, _: &str) -> Result<Auth, Error> {
        Ok(self.turn_down())
    }

    async fn auth_keyboard_interactive<'a>(&'a mut self, _: &str, _: &str, _: Option<Response<'a>>) -> Result<Auth, Error> {
        Ok(self.turn_down())
    }

    async fn auth_openssh_certificate(&mut self, _: &str, _: &Certificate) -> Result<Auth, Error> {
        Ok(self.turn_down())
    }

    async fn authentication_banner(&mut self) -> Result<Option<String>, Error> {
        Ok(None)
    }

    /// An unproven key: the answer only says whether signing with it is worth while. It never is for a certificate, which is no key.
    async fn auth_publickey_offered(&mut self, _: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Error> {
        let sound = !offer.in_certificate && !is_sha1(offer.algorithm) && is_of(offer.algorithm, offer.public_key);
        let known = sound && self.knows(&Fingerprint::of(offer.public_key)).await.is_ok();
        Ok(if known && self.tries.accept() { Auth::Accept } else { self.turn_down() })
    }

    /// A key whose signature verified: the only source of identity.
    async fn auth_publickey(&mut self, _: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Error> {
        let fingerprint = Fingerprint::of(key.public_key);
        let known = if is_sha1(key.algorithm) { Err(Denial::UnknownKey) } else { self.knows(&fingerprint).await };
        if let Err(denial) = known {
            self.hall.witness.refused(Who { key: Some(fingerprint), ..self.who() }, &denial);
            return Ok(self.turn_down());
        }
        self.key = Some(fingerprint);
        Ok(Auth::Accept)
    }

    async fn auth_succeeded(&mut self, _: &mut Session) -> Result<(), Error> {
        if let Some(key) = self.key {
            self.tries.prove(key);
        }
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        let Some(key) = self.key else { return Err(Error::Inconsistent) };
        match self.place(&key) {
            Ok(place) => self.admit(channel, reply, place, (key, host, port)),
            Err(denial) => return self.refuse(reply, denial).await,
        }
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Error> {
        if self.sessions_over {
            return session.disconnect(Disconnect::ProtocolError, BROKEN_PROMISE, "");
        }
        if !self.has_room() || !self.desk.has_room() {
            return self.refuse(reply, Denial::Channels).await;
        }
        self.inflow.opened(channel.id());
        self.desk.seat(channel);
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        self.refuse(reply, Denial::NotServed("X11")).await
    }

    async fn channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        self.refuse(reply, Denial::NotServed("remote forwarding")).await
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        self.refuse(reply, Denial::NotServed("sockets")).await
    }

    fn adjust_window(&mut self, channel: ChannelId, current: u32) -> u32 {
        let next = self.inflow.refilled(&channel, current);
        if self.inlets.get(&channel).is_some_and(|(inlet, _)| self.inflow.is_stalled(inlet.held(), current)) {
            self.brake.pull();
        }
        next
    }

    /// A jump host opens no channels: whoever confirms one is no SSH client.
    async fn channel_open_confirmation(&mut self, _: ChannelId, _: u32, _: u32, _: &mut Session) -> Result<(), Error> {
        Err(Error::Inconsistent)
    }

    async fn window_adjusted(&mut self, _: ChannelId, _: u32, _: &mut Session) -> Result<(), Error> {
        Ok(())
    }

    async fn data(&mut self, channel: ChannelId, data: Bytes, _: &mut Session) -> Result<(), Error> {
        self.count(channel, &data)?;
        if let Some((inlet, _)) = self.inlets.get(&channel) {
            inlet.push(data);
        }
        Ok(())
    }

    async fn extended_data(&mut self, channel: ChannelId, _: u32, data: Bytes, _: &mut Session) -> Result<(), Error> {
        self.count(channel, &data)
    }

    async fn channel_eof(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Error> {
        if let Some((inlet, _)) = self.inlets.get(&channel) {
            inlet.finish();
        }
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Error> {
        self.inflow.closed(&channel);
        // Not every client says EOF before it (Go's, asyncssh): what it has sent is its agent's all the same, as at sshd.
        if let Some((inlet, _)) = self.inlets.remove(&channel) {
            inlet.finish();
        }
        self.leftovers.forget(channel);
        self.desk.left(channel);
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Error> {
        if self.desk.terminal(channel) { session.channel_success(channel) } else { session.channel_failure(channel) }
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _: bool,
        _: &str,
        _: &str,
        _: u32,
        session: &mut Session,
    ) -> Result<(), Error> {
        self.not_served_aside("X11", session)?;
        session.channel_failure(channel)
    }

    /// What is on a channel to a workspace is the agent's to hear.
    async fn other_channel_request(&mut self, _: ChannelId, _: &str, _: &mut Session) -> Result<(), Error> {
        Ok(())
    }

    async fn env_request(&mut self, channel: ChannelId, _: &str, _: &[u8], session: &mut Session) -> Result<(), Error> {
        session.channel_failure(channel)
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Error> {
        let greeting = |visitor: &Self| Answer::Greeting(visitor.key.map(|key| visitor.hall.greeting(&key)).unwrap_or_default());
        self.answer(channel, greeting, session)
    }

    async fn exec_request(&mut self, channel: ChannelId, _: &[u8], session: &mut Session) -> Result<(), Error> {
        self.answer(channel, |visitor| visitor.not_served("commands"), session)
    }

    /// OpenSSH's clients show nothing of a refused subsystem but that it was; they do show its standard error.
    async fn subsystem_request(&mut self, channel: ChannelId, _: &str, session: &mut Session) -> Result<(), Error> {
        self.answer(channel, |visitor| visitor.not_served("files"), session)
    }

    async fn window_change_request(
        &mut self,
        channel: ChannelId,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        session: &mut Session,
    ) -> Result<(), Error> {
        session.channel_failure(channel)
    }

    async fn agent_request(&mut self, _: ChannelId, session: &mut Session) -> Result<bool, Error> {
        self.not_served_aside("agent forwarding", session)?;
        Ok(false)
    }

    async fn signal(&mut self, _: ChannelId, _: Sig, _: &mut Session) -> Result<(), Error> {
        Ok(())
    }

    async fn tcpip_forward(&mut self, _: &str, _: &mut u32, session: &mut Session) -> Result<bool, Error> {
        self.not_served_aside("remote forwarding", session)?;
        Ok(false)
    }

    async fn cancel_tcpip_forward(&mut self, _: &str, _: u32, _: &mut Session) -> Result<bool, Error> {
        Ok(false)
    }

    async fn streamlocal_forward(&mut self, _: &str, session: &mut Session) -> Result<bool, Error> {
        self.not_served_aside("remote forwarding", session)?;
        Ok(false)
    }

    async fn cancel_streamlocal_forward(&mut self, _: &str, _: &mut Session) -> Result<bool, Error> {
        Ok(false)
    }

    async fn no_more_sessions(&mut self, _: &mut Session) -> Result<bool, Error> {
        self.sessions_over = true;
        Ok(true)
    }
}

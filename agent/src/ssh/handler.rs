//! russh's calls translated: nothing is decided here, and nothing waits but for the authorizer and, a bounded time, for file systems.

mod forwarding;
mod programs;

use super::{
    Authorize, Peer, Server,
    account::Account,
    auth::{self, Denial, Login},
    channels::Channels,
    forward::{Denied, Forwards},
    session::{Program, Refused},
};
use bytes::Bytes;
use drawbridge_shared::native::ssh::BROKEN_PROMISE;
use forwarding::allowed;
use russh::{
    Channel, ChannelId, ChannelOpenFailure, Disconnect, Error, Pty, Sig,
    client::GexParams,
    kex::dh::groups::DhGroup,
    keys::Certificate,
    server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Response, Session as Wire, VerifiedPublicKey},
};
use rustix::termios::Winsize;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// RFC 4254 section 5.1.
const PROHIBITED: u32 = 1;
const SHORTAGE: u32 = 4;
/// OpenSSH PROTOCOL section 2.1.
const END_OF_WRITE: &str = "eow@openssh.com";

/// One client's connection.
pub(super) struct Connection<A> {
    pub(super) server: Server<A>,
    pub(super) peer: Peer,
    /// Whom its programs run as; the agent's own until the login has named one.
    pub(super) account: Arc<Account>,
    pub(super) channels: Channels,
    pub(super) forwards: Forwards,
    /// Owns the channels' tasks.
    pub(super) tasks: TaskTracker,
    /// Fires at the end of a login.
    pub(super) verified: CancellationToken,
    /// Fresh news of keys were asked for.
    pub(super) refreshed: bool,
    /// Tells whose login it was, once it is one.
    pub(super) grant: Option<oneshot::Sender<Login>>,
    pub(super) login: Option<Login>,
    pub(super) denied: Option<Denial>,
    /// The client has said that it opens no more.
    pub(super) sessions_over: bool,
}

impl<A: Authorize> Connection<A> {
    /// A good signature by a good key under a wrong name is told so, once the client can hear it.
    async fn admit(&mut self, login: &Login, name: &str) {
        let (Login { user, key }, client) = (login, self.peer.client);
        match self.server.accounts.choose(name).await {
            Ok(account) => {
                tracing::info!(%user, %key, %client, account = account.name, "logged in");
                self.forwards.log_in(account.clone());
                self.account = account;
                self.login = Some(login.clone());
            }
            Err(denial) => {
                tracing::info!(%user, %key, %client, %denial, "login refused");
                self.denied = Some(denial.into());
            }
        }
    }
}

#[deny(clippy::missing_trait_methods, reason = "what russh does by itself may be an answer that nobody wanted")]
impl<A: Authorize> Handler for Connection<A> {
    type Error = Error;

    /// No group exchange is offered.
    async fn lookup_dh_gex_group(&mut self, _: &GexParams) -> Result<Option<DhGroup>, Error> {
        Ok(None)
    }

    async fn auth_none(&mut self, _user: &str) -> Result<Auth, Error> {
        Ok(Auth::reject())
    }

    async fn auth_password(&mut self, _user: &str, _password: &str) -> Result<Auth, Error> {
        Ok(Auth::reject())
    }

    async fn auth_keyboard_interactive<'a>(&'a mut self, _: &str, _: &str, _: Option<Response<'a>>) -> Result<Auth, Error> {
        Ok(Auth::reject())
    }

    /// Not reached: it was refused when it was offered.
    async fn auth_openssh_certificate(&mut self, _user: &str, _certificate: &Certificate) -> Result<Auth, Error> {
        Ok(Auth::reject())
    }

    /// A certificate is refused before anybody signs for it: a signature may cost its user a touch.
    async fn auth_publickey_offered(&mut self, _user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Error> {
        if offer.in_certificate {
            tracing::info!(client = %self.peer.client, denial = %Denial::Certificate, "login refused");
            return Ok(Auth::reject());
        }
        match auth::key(&self.server.authorizer, &mut self.refreshed, offer.public_key, offer.algorithm).await {
            Ok(_unproven) => Ok(Auth::Accept),
            Err(denial) => {
                tracing::debug!(client = %self.peer.client, %denial, "key not accepted");
                Ok(Auth::reject())
            }
        }
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Error> {
        match auth::key(&self.server.authorizer, &mut self.refreshed, key.public_key, key.algorithm).await {
            Ok(login) => {
                self.admit(&login, user).await;
                Ok(Auth::Accept)
            }
            Err(denial) => {
                tracing::info!(client = %self.peer.client, %denial, "login refused");
                Ok(Auth::reject())
            }
        }
    }

    async fn auth_succeeded(&mut self, wire: &mut Wire) -> Result<(), Error> {
        self.verified.cancel();
        match &self.denied {
            Some(denial) => wire.disconnect(Disconnect::IllegalUserName, &denial.to_string(), ""),
            None => {
                // Fails only when the connection is being given up.
                self.grant.take().zip(self.login.take()).map(|(grant, login)| grant.send(login));
                Ok(())
            }
        }
    }

    async fn authentication_banner(&mut self) -> Result<Option<String>, Error> {
        Ok(None)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        wire: &mut Wire,
    ) -> Result<(), Error> {
        if self.sessions_over {
            return wire.disconnect(Disconnect::ProtocolError, BROKEN_PROMISE, "");
        }
        if self.denied.is_some() {
            refuse(reply, PROHIBITED, "not logged in").await;
        } else if !self.channels.has_room() {
            refuse(reply, SHORTAGE, "too many channels are open on this connection: close some or connect once more").await;
        } else if let Ok(place) = self.server.sessions.clone().try_acquire_owned() {
            self.channels.insert(channel, place);
            reply.accept().await;
        } else {
            refuse(reply, SHORTAGE, "too many sessions are open in this workspace: end some").await;
        }
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _originator: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _: &mut Wire,
    ) -> Result<(), Error> {
        let errand = self.forwards.to_host(host, port);
        self.carry(channel, errand, reply).await;
        Ok(())
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        channel: Channel<Msg>,
        path: &str,
        reply: ChannelOpenHandle,
        _: &mut Wire,
    ) -> Result<(), Error> {
        let errand = self.forwards.to_socket(path);
        self.carry(channel, errand, reply).await;
        Ok(())
    }

    async fn channel_open_forwarded_tcpip(
        &mut self,
        _channel: Channel<Msg>,
        _host: &str,
        _port: u32,
        _originator: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _: &mut Wire,
    ) -> Result<(), Error> {
        refuse(reply, PROHIBITED, "only a server opens forwarded-tcpip channels").await;
        Ok(())
    }

    async fn channel_open_x11(
        &mut self,
        _channel: Channel<Msg>,
        _originator: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _: &mut Wire,
    ) -> Result<(), Error> {
        refuse(reply, PROHIBITED, "only a server opens x11 channels").await;
        Ok(())
    }

    async fn channel_open_confirmation(&mut self, id: ChannelId, _: u32, _: u32, wire: &mut Wire) -> Result<(), Error> {
        match self.confirm(id, wire)? {
            Ok(()) => Ok(()),
            Err(unasked) => wire.disconnect(Disconnect::ProtocolError, &unasked.to_string(), ""),
        }
    }

    async fn data(&mut self, id: ChannelId, data: Bytes, wire: &mut Wire) -> Result<(), Error> {
        match self.channels.received(id, data) {
            Ok(()) => Ok(()),
            Err(overrun) => wire.disconnect(Disconnect::ProtocolError, &overrun.to_string(), ""),
        }
    }

    async fn extended_data(&mut self, id: ChannelId, _code: u32, data: Bytes, wire: &mut Wire) -> Result<(), Error> {
        match self.channels.ignored(id, &data) {
            Ok(()) => Ok(()),
            Err(overrun) => wire.disconnect(Disconnect::ProtocolError, &overrun.to_string(), ""),
        }
    }

    fn adjust_window(&mut self, id: ChannelId, target: u32) -> u32 {
        self.channels.refilled(id, target)
    }

    async fn window_adjusted(&mut self, id: ChannelId, left: u32, _: &mut Wire) -> Result<(), Error> {
        self.channels.granted(id, left);
        Ok(())
    }

    async fn channel_eof(&mut self, id: ChannelId, _: &mut Wire) -> Result<(), Error> {
        self.channels.finished(id);
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _: &mut Wire) -> Result<(), Error> {
        self.channels.close(id);
        Ok(())
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        term: &str,
        columns: u32,
        rows: u32,
        width: u32,
        height: u32,
        modes: &[(Pty, u32)],
        wire: &mut Wire,
    ) -> Result<(), Error> {
        answer(wire, id, self.terminal(id, of_c(term), size(columns, rows, width, height), modes))
    }

    async fn window_change_request(
        &mut self,
        id: ChannelId,
        columns: u32,
        rows: u32,
        width: u32,
        height: u32,
        wire: &mut Wire,
    ) -> Result<(), Error> {
        answer(wire, id, self.resize(id, size(columns, rows, width, height)))
    }

    /// Of OpenSSH's client whose standard output is closed: a program that goes on writing is told so, by SIGPIPE, or waits where it has
    /// a terminal (PROTOCOL section 2.1).
    async fn other_channel_request(&mut self, id: ChannelId, name: &str, _: &mut Wire) -> Result<(), Error> {
        if name == END_OF_WRITE {
            self.takes_no_more(id);
        }
        Ok(())
    }

    async fn env_request(&mut self, id: ChannelId, name: &str, value: &[u8], wire: &mut Wire) -> Result<(), Error> {
        let open = self.channels.get(id).ok_or(Refused::Closed);
        answer(wire, id, open.and_then(|open| open.session.set(&self.server.env, name, value)))
    }

    async fn shell_request(&mut self, id: ChannelId, wire: &mut Wire) -> Result<(), Error> {
        let started = self.start(id, Program::Shell, wire);
        answer(wire, id, started)
    }

    /// What a C program sends with the end of its string is taken without it, as by sshd.
    async fn exec_request(&mut self, id: ChannelId, command: &[u8], wire: &mut Wire) -> Result<(), Error> {
        let command = command.strip_suffix(b"\0").unwrap_or(command);
        let started = self.start(id, Program::Command(command.to_vec()), wire);
        answer(wire, id, started)
    }

    async fn subsystem_request(&mut self, id: ChannelId, name: &str, wire: &mut Wire) -> Result<(), Error> {
        let agent = self.server.agent.clone().filter(|_| of_c(name) == "sftp").ok_or(Refused::NoSubsystem);
        let started = agent.and_then(|agent| self.start(id, Program::Sftp(agent), wire));
        answer(wire, id, started)
    }

    async fn signal(&mut self, id: ChannelId, sig: Sig, wire: &mut Wire) -> Result<(), Error> {
        answer(wire, id, self.deliver(id, &sig))
    }

    async fn x11_request(&mut self, id: ChannelId, _: bool, _: &str, _: &str, _: u32, wire: &mut Wire) -> Result<(), Error> {
        allowed::<()>(wire, Err(Denied::X11))?;
        wire.channel_failure(id)
    }

    async fn agent_request(&mut self, _: ChannelId, wire: &mut Wire) -> Result<bool, Error> {
        let made = self.forwards.forward_agent(&wire.handle());
        Ok(allowed(wire, made)?.is_some())
    }

    async fn tcpip_forward(&mut self, address: &str, port: &mut u32, wire: &mut Wire) -> Result<bool, Error> {
        let bound = self.forwards.listen_on_port(address, *port, &wire.handle());
        let bound = allowed(wire, bound)?;
        *port = bound.map_or(*port, u32::from);
        Ok(bound.is_some())
    }

    async fn cancel_tcpip_forward(&mut self, address: &str, port: u32, _: &mut Wire) -> Result<bool, Error> {
        Ok(self.forwards.leave_port(address, port).await)
    }

    async fn streamlocal_forward(&mut self, path: &str, wire: &mut Wire) -> Result<bool, Error> {
        let bound = self.forwards.listen_on_socket(path, &wire.handle()).await;
        Ok(allowed(wire, bound)?.is_some())
    }

    async fn cancel_streamlocal_forward(&mut self, path: &str, _: &mut Wire) -> Result<bool, Error> {
        Ok(self.forwards.leave_socket(path).await)
    }

    async fn no_more_sessions(&mut self, _: &mut Wire) -> Result<bool, Error> {
        self.sessions_over = true;
        Ok(true)
    }
}

/// What a C program sends may have its NUL at the end, which sshd takes off (`sshbuf_get_cstring`).
fn of_c(text: &str) -> &str {
    text.strip_suffix('\0').unwrap_or(text)
}

async fn refuse(reply: ChannelOpenHandle, code: u32, words: &str) {
    reply.reject(ChannelOpenFailure::Other { code, reason: words.to_owned() }).await;
}

fn answer(wire: &mut Wire, id: ChannelId, outcome: Result<(), Refused>) -> Result<(), Error> {
    match outcome {
        Ok(()) => wire.channel_success(id),
        Err(refused) => {
            tracing::debug!(%refused, "channel request refused");
            wire.channel_failure(id)
        }
    }
}

fn size(columns: u32, rows: u32, width: u32, height: u32) -> Winsize {
    let short = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
    Winsize { ws_col: short(columns), ws_row: short(rows), ws_xpixel: short(width), ws_ypixel: short(height) }
}

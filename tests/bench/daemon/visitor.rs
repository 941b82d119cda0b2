//! A user's outer connection, and a channel through it to a workspace's first bytes.

use anyhow::{Context, Result, bail, ensure};
use e2e::Stack;
use russh::{
    Channel, ChannelMsg, Disconnect,
    client::{self, AuthResult, Config, Handle, Handler, Msg},
    keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key},
};
use std::sync::Arc;
use tokio::net::TcpStream;

const WORKSPACE: &str = "796636";

/// Where and as whom.
#[derive(Clone)]
pub(crate) struct Entry {
    config: Arc<Config>,
    port: u16,
    key: PrivateKeyWithHashAlg,
}

/// A connection that stands.
pub(crate) struct Visit {
    session: Handle<Trusting>,
    _channel: Option<Channel<Msg>>,
}

/// Who the server is makes no difference to what it costs.
struct Trusting;

impl Handler for Trusting {
    type Error = anyhow::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool> {
        Ok(true)
    }
}

impl Entry {
    /// A member's of the demo.
    pub(crate) fn of(world: &Stack) -> Result<Self> {
        let key = load_secret_key(&world.user("alice")?.key_file, None)?;
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
        Ok(Self { config: Arc::default(), port: world.daemon.port, key })
    }

    /// Logs in, and opens nothing.
    pub(crate) async fn knock(&self) -> Result<Visit> {
        let socket = TcpStream::connect(("127.0.0.1", self.port)).await?;
        socket.set_nodelay(true)?;
        let mut session = client::connect_stream(self.config.clone(), socket, Trusting).await?;
        let answer = session.authenticate_publickey("jump", self.key.clone()).await?;
        ensure!(matches!(answer, AuthResult::Success), "not let in: {answer:?}");
        Ok(Visit { session, _channel: None })
    }

    /// Logs in, and goes on to the workspace until it says its first byte.
    pub(crate) async fn enter(&self) -> Result<Visit> {
        let mut visit = self.knock().await?;
        let mut channel = visit.session.channel_open_direct_tcpip(WORKSPACE, 22, "127.0.0.1", 1).await?;
        // As a client does.
        channel.data(&b"SSH-2.0-bench\r\n"[..]).await?;
        loop {
            match channel.wait().await.context("no channel any more")? {
                ChannelMsg::Data { data } => {
                    ensure!(data.starts_with(b"SSH-2.0-"), "no SSH server");
                    visit._channel = Some(channel);
                    return Ok(visit);
                }
                ChannelMsg::Eof | ChannelMsg::Close => bail!("the workspace says nothing"),
                _ => {}
            }
        }
    }
}

impl Visit {
    /// Leaves.
    pub(crate) async fn end(self) {
        // Fails only where the other side has left.
        let _ = self.session.disconnect(Disconnect::ByApplication, "", "").await;
    }
}

//! What a client is offered, decided once it has said what it can: in SSH the client's order of ciphers decides, and stock
//! OpenSSH puts ChaCha20 before AES-GCM, which moves half as much again.
//!
//! A client of OpenSSH says all of its algorithms right behind our identification line, without waiting for ours. Where
//! AES-GCM is among them it is offered nothing else; any other client, and one that asks for something else only, is
//! offered all that we have. So nobody is turned away, and the price is that our algorithms leave one round trip later.

mod hello;

use bytes::{Buf, Bytes, BytesMut};
use hello::Hello;
use russh::{Preferred, SshId, cipher, server::Config};
use std::{
    borrow::Cow,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time,
};

const AES_GCM: &[cipher::Name] = &[cipher::AES_128_GCM, cipher::AES_256_GCM];

/// A client that could say its algorithms does so within this time, a round trip and then some, or is offered everything;
/// scanners that only call themselves OpenSSH wait for ours and give up within seconds.
const PATIENCE: Duration = Duration::from_secs(1);

/// The settings of the next connection, for either kind of client; cheap to clone.
#[derive(Clone)]
pub struct Offer {
    everything: Arc<Config>,
    aes_gcm: Arc<Config>,
}

impl std::fmt::Debug for Offer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Offer").finish_non_exhaustive()
    }
}

impl Offer {
    /// Of a server that `config` describes, in all but the ciphers of some.
    pub fn new(config: impl Fn() -> Config) -> Self {
        let few = config();
        let preferred = Preferred { cipher: Cow::Borrowed(AES_GCM), ..few.preferred.clone() };
        Self { everything: Arc::new(config()), aes_gcm: Arc::new(Config { preferred, ..few }) }
    }

    /// Says who we are, and hears from `stream` as much of the client as the choice needs. What comes back is for
    /// `russh::server::run_stream`.
    pub async fn greet<S>(self, mut stream: S) -> io::Result<(Arc<Config>, Steered<S>)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let line = match &self.everything.server_id {
            SshId::Standard(line) => format!("{line}\r\n"),
            SshId::Raw(line) => line.to_string(),
        };
        stream.write_all(line.as_bytes()).await?;
        stream.flush().await?;
        let mut heard = BytesMut::new();
        let hello = time::timeout(PATIENCE, hear(&mut stream, &mut heard)).await.unwrap_or(Ok(Hello::Other))?;
        let config = if hello == Hello::AesGcm { self.aes_gcm } else { self.everything };
        Ok((config, Steered { stream, heard: heard.freeze(), said: line.len() }))
    }
}

async fn hear(stream: &mut (impl AsyncRead + Unpin), heard: &mut BytesMut) -> io::Result<Hello> {
    loop {
        match hello::of(heard) {
            // One that goes away without a word is met by whoever reads next.
            Hello::Unfinished if stream.read_buf(heard).await? == 0 => return Ok(Hello::Other),
            Hello::Unfinished => {}
            hello => return Ok(hello),
        }
    }
}

/// `S` behind what was heard and said already: that is read once more, and not said twice.
pub struct Steered<S> {
    stream: S,
    heard: Bytes,
    /// Bytes that were written ahead of their writer.
    said: usize,
}

impl<S: AsyncRead + Unpin> AsyncRead for Steered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.heard.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let part = self.heard.len().min(buffer.remaining());
        buffer.put_slice(&self.heard[..part]);
        self.heard.advance(part);
        if self.heard.is_empty() {
            self.heard = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Steered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let part = self.said.min(bytes.len());
        if part > 0 {
            self.said -= part;
            return Poll::Ready(Ok(part));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::ssh;
    use russh::keys::{Algorithm, PrivateKey, key::safe_rng};
    use tokio::io::duplex;

    fn offer() -> Offer {
        let key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap();
        Offer::new(|| ssh::config(key.clone()))
    }

    /// How many ciphers a client is offered that says `words`, and what a server then reads and the client has read.
    async fn offered(words: &[u8]) -> (usize, Vec<u8>, Vec<u8>) {
        let (near, mut far) = duplex(64 * 1024);
        far.write_all(words).await.unwrap();
        let (config, mut stream) = offer().greet(near).await.unwrap();
        let SshId::Standard(line) = &config.server_id else { panic!("another kind of line") };
        stream.write_all(format!("{line}\r\nmore").as_bytes()).await.unwrap();
        let mut read = vec![0; words.len()];
        stream.read_exact(&mut read).await.unwrap();
        drop(stream);
        let mut said = Vec::new();
        far.read_to_end(&mut said).await.unwrap();
        assert_eq!(said, format!("{line}\r\nmore").as_bytes());
        (config.preferred.cipher.len(), read, said)
    }

    #[tokio::test(start_paused = true)]
    async fn a_stock_client_is_offered_aes_gcm_and_others_everything() {
        let all = ssh::config(PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap()).preferred.cipher.len();
        for (ciphers, count) in [("chacha20-poly1305@openssh.com,aes128-gcm@openssh.com", 2), ("aes256-ctr", all)] {
            let words = hello::tests::client("SSH-2.0-OpenSSH_9.2p1", ciphers);
            let (offered, read, _) = offered(&words).await;
            assert_eq!((offered, read == words), (count, true), "{ciphers}");
        }
        let (offered, ..) = offered(b"SSH-2.0-paramiko_3.4.0\r\n").await;
        assert_eq!(offered, all);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_waits_for_our_algorithms_is_not_waited_for_in_turn() {
        let (near, mut far) = duplex(1024);
        far.write_all(b"SSH-2.0-OpenSSH_1.0\r\n").await.unwrap();
        let (config, _stream) = offer().greet(near).await.unwrap();
        assert!(config.preferred.cipher.len() > AES_GCM.len());
    }
}

//! Words for a client whose SSH connection cannot begin: a server's identification and a disconnect message.
//!
//! OpenSSH shows lines in front of the identification (RFC 4253 section 4.2) only with `-v`; a disconnect message it
//! always shows, and that may come before any key exchange, unencrypted.

use crate::limits::{FAREWELL_BYTES, FAREWELL_TIMEOUT};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

const IDENTIFICATION: &str = concat!("SSH-2.0-Drawbridge_", env!("CARGO_PKG_VERSION"), "\r\n");
/// RFC 4253 section 11.1.
const SSH_MSG_DISCONNECT: u8 = 1;
const SSH_DISCONNECT_SERVICE_NOT_AVAILABLE: u32 = 7;
/// RFC 4253 section 6: a packet without a cipher is a multiple of it, with at least four bytes of padding.
const BLOCK: usize = 8;
const LEAST_PADDING: usize = 4;

/// Says `words` in place of a server, and waits a little until the client has gone.
pub(crate) async fn farewell(stream: impl AsyncRead + AsyncWrite + Unpin, words: &str, end: &CancellationToken) {
    let saying = timeout(FAREWELL_TIMEOUT, say(stream, words));
    // Whoever does not listen to it to the end has left already.
    let _ = end.run_until_cancelled(saying).await;
}

async fn say(mut stream: impl AsyncRead + AsyncWrite + Unpin, words: &str) -> std::io::Result<()> {
    stream.write_all(IDENTIFICATION.as_bytes()).await?;
    stream.write_all(&disconnect(words)).await?;
    stream.shutdown().await?;
    // Closing while the client still sends would reset the connection, and it might not hear.
    tokio::io::copy(&mut stream.take(FAREWELL_BYTES), &mut tokio::io::sink()).await.map(drop)
}

/// The whole unencrypted packet.
fn disconnect(words: &str) -> Vec<u8> {
    let mut payload = vec![SSH_MSG_DISCONNECT];
    payload.extend(SSH_DISCONNECT_SERVICE_NOT_AVAILABLE.to_be_bytes());
    string(&mut payload, words);
    string(&mut payload, "");
    let padding = (5 + payload.len() + LEAST_PADDING).next_multiple_of(BLOCK) - 5 - payload.len();
    let mut packet = ((1 + payload.len() + padding) as u32).to_be_bytes().to_vec();
    packet.push(padding as u8);
    packet.extend(payload);
    packet.resize(packet.len() + padding, 0);
    packet
}

fn string(payload: &mut Vec<u8>, text: &str) {
    payload.extend((text.len() as u32).to_be_bytes());
    payload.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_golden() {
        // Length, padding, then the message: type, reason, words, language.
        let golden = b"\0\0\0\x14\x04\x01\0\0\0\x07\0\0\0\x02no\0\0\0\0\0\0\0\0";
        assert_eq!(disconnect("no"), golden);
        for length in 0..40 {
            let packet = disconnect(&"x".repeat(length));
            assert_eq!(packet.len() % BLOCK, 0);
            assert!((4..4 + BLOCK).contains(&usize::from(packet[4])), "{}", packet[4]);
        }
    }

    #[tokio::test]
    async fn a_client_hears_it_and_need_not_answer() {
        let (near, mut far) = tokio::io::duplex(1024);
        let mut heard = Vec::new();
        let listen = async {
            far.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await.unwrap();
            far.read_to_end(&mut heard).await.unwrap();
            drop(far);
        };
        let end = CancellationToken::new();
        tokio::join!(farewell(near, "closed", &end), listen);
        assert!(heard.starts_with(IDENTIFICATION.as_bytes()) && heard.windows(6).any(|part| part == b"closed"));
    }
}

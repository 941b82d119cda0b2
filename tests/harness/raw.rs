//! An SSH client on a bare socket, which keeps only those rules that a test wants kept.

mod exchange;
pub mod message;
mod packet;

pub use exchange::{Half, Manners};
pub use message::{Message, number};

use anyhow::{Context, Result, bail, ensure};
use packet::Packets;
use ssh_key::PrivateKey;
use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// What we call ourselves.
const ID: &str = "SSH-2.0-raw";
/// How the identifications of the jump host and of the agent begin.
const SERVERS: [&str; 2] = ["SSH-2.0-Drawbridge_", "SSH-2.0-OpenSSH_9.2 Drawbridge_"];
/// A server answers, or ends the connection, within this time.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at what is awaited.
const LOOK: Duration = Duration::from_millis(20);
/// Longest line that a server may say before its packets (RFC 4253 section 4.2).
const LINE: usize = 255;

/// Whether a server of ours says so.
pub fn is_ours(identification: &str) -> bool {
    SERVERS.iter().any(|beginning| identification.starts_with(beginning))
}

/// A socket of either kind.
trait Wire: Read + Write + Send {
    fn patience(&self, bound: Duration) -> io::Result<()>;
}

/// One connection.
pub struct Raw {
    wire: Box<dyn Wire>,
    packets: Packets,
    server_id: String,
    /// The first exchange's hash, which signatures are bound to.
    pub session: Vec<u8>,
}

/// What came of waiting for a packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// A packet.
    Packet(Vec<u8>),
    /// The server ended the connection, with these words if it sent any.
    End(Option<String>),
    /// Neither, within the time.
    Nothing,
}

impl Raw {
    /// Over TCP, before anything is said.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Self::over(stream)
    }

    /// Over a Unix socket, before anything is said.
    pub fn connect_unix(path: &Path) -> Result<Self> {
        Self::over(UnixStream::connect(path)?)
    }

    fn over(wire: impl Wire + 'static) -> Result<Self> {
        wire.patience(PATIENCE)?;
        Ok(Self { wire: Box::new(wire), packets: Packets::default(), server_id: String::new(), session: Vec::new() })
    }

    /// Identifications both ways.
    pub fn greet(&mut self) -> Result<()> {
        self.throw(format!("{ID}\r\n").as_bytes())?;
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            let mut byte = [0];
            self.wire.read_exact(&mut byte).context("no identification")?;
            line.push(byte[0]);
            ensure!(line.len() <= LINE, "a long identification");
        }
        self.server_id = String::from_utf8(line)?.trim_end().to_owned();
        ensure!(is_ours(&self.server_id), "{}", self.server_id);
        Ok(())
    }

    /// Identifications and keys, as a client of the strict kind.
    pub fn meet(&mut self) -> Result<()> {
        self.greet()?;
        self.change_keys(&Manners::strict())
    }

    /// Asks for the service of authentication.
    pub fn begin_login(&mut self) -> Result<()> {
        self.send(Message::new(number::SERVICE_REQUEST).string("ssh-userauth"))?;
        let accepted = self.expect(number::SERVICE_ACCEPT)?;
        ensure!(accepted == Message::new(number::SERVICE_ACCEPT).string("ssh-userauth").bytes());
        Ok(())
    }

    /// All of it, as `user` with `key`.
    pub fn log_in(&mut self, user: &str, key: &PrivateKey) -> Result<()> {
        self.meet()?;
        self.begin_login()?;
        let request = self.signed(user, key, key, &self.session)?;
        self.send(request)?;
        self.expect(number::USERAUTH_SUCCESS).map(drop)
    }

    /// A request to log in that names `shown` and is signed with `signer` for the connection that `session` names.
    pub fn signed(&self, user: &str, shown: &PrivateKey, signer: &PrivateKey, session: &[u8]) -> Result<Message> {
        request(user, ("ssh-ed25519", &shown.public_key().to_bytes()?), signer, session)
    }

    /// The same for this connection, with a key or certificate of `kind` as its bytes.
    pub fn signed_as(&self, user: &str, kind: &str, shown: &[u8], signer: &PrivateKey) -> Result<Message> {
        request(user, (kind, shown), signer, &self.session)
    }

    /// Asks for a channel of that kind, numbered `ours`, with a window for what it may send us.
    pub fn open(&mut self, kind: &str, ours: u32, more: impl FnOnce(Message) -> Message) -> Result<()> {
        self.send(more(message::open(kind, ours)))
    }

    /// A session channel; returns the server's number for it.
    pub fn session_channel(&mut self, ours: u32) -> Result<u32> {
        self.open("session", ours, |open| open)?;
        message::theirs(&self.expect(number::CHANNEL_OPEN_CONFIRMATION)?, ours)
    }

    /// Sends one packet.
    pub fn send(&mut self, message: Message) -> Result<()> {
        let packet = self.packets.seal(&message.bytes())?;
        self.throw(&packet)
    }

    /// Sends `messages` while reading nothing, as one write.
    pub fn send_all(&mut self, messages: impl IntoIterator<Item = Message>) -> Result<()> {
        let mut packets = Vec::new();
        for message in messages {
            packets.extend(self.packets.seal(&message.bytes())?);
        }
        self.throw(&packets)
    }

    /// Sends a packet whose content, padding and its length included, is `content`; it has whole blocks.
    pub fn send_content(&mut self, content: &[u8]) -> Result<()> {
        let packet = self.packets.seal_content(content)?;
        self.throw(&packet)
    }

    /// A packet as it would be sent next.
    pub fn sealed(&mut self, message: Message) -> Result<Vec<u8>> {
        self.packets.seal(&message.bytes())
    }

    /// Sends bytes as they are.
    pub fn throw(&mut self, bytes: &[u8]) -> Result<()> {
        self.wire.write_all(bytes)?;
        Ok(self.wire.flush()?)
    }

    /// The next packet that is no debug message, banner or extension: those say nothing that matters here.
    pub fn hear(&mut self) -> Result<Heard> {
        loop {
            match self.packets.open(&mut self.wire) {
                Ok(packet) if is_aside(&packet) => {}
                Ok(packet) if packet.first() == Some(&number::DISCONNECT) => {
                    return Ok(Heard::End(Some(message::words(&packet)?)));
                }
                Ok(packet) => return Ok(Heard::Packet(packet)),
                Err(fault) => return over(fault),
            }
        }
    }

    /// The same within `bound`.
    pub fn hear_within(&mut self, bound: Duration) -> Result<Heard> {
        self.wire.patience(bound)?;
        let heard = self.hear();
        self.wire.patience(PATIENCE)?;
        heard
    }

    /// The next packet, which is of that number.
    pub fn expect(&mut self, number: u8) -> Result<Vec<u8>> {
        match self.hear()? {
            Heard::Packet(packet) if packet.first() == Some(&number) => Ok(packet),
            other => bail!("instead of message {number}: {other:?}"),
        }
    }

    /// Waits until the server has ended the connection, whatever it still says, and returns its words if it had some.
    pub fn expect_end(&mut self) -> Result<Option<String>> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            match self.hear()? {
                Heard::Packet(_) => {}
                Heard::End(words) => return Ok(words),
                Heard::Nothing => bail!("the connection is still there"),
            }
        }
        bail!("the connection is still there, and talks")
    }

    /// Waits until the server has closed the connection, whatever bytes it still sends.
    pub fn expect_close(&mut self) -> Result<()> {
        let mut bytes = [0; 4096];
        loop {
            match self.wire.read(&mut bytes) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(fault) => match over(fault)? {
                    Heard::End(_) => return Ok(()),
                    _ => bail!("the connection is still open"),
                },
            }
        }
    }

    /// Waits until nobody takes what is sent any more: a server that only says nothing more may still hold a connection.
    pub fn expect_deaf(&mut self) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            // What nobody takes is answered with a reset, which the write after it meets.
            if self.throw(&[0; 16]).is_err() {
                return Ok(());
            }
            thread::sleep(LOOK);
        }
        bail!("somebody still holds the other end")
    }

    /// Whether the server ends the connection within `bound`.
    pub fn is_closed_within(&mut self, bound: Duration) -> Result<bool> {
        self.wire.patience(bound)?;
        let closed = match self.wire.read(&mut [0; 4096]) {
            Ok(read) => read == 0,
            Err(fault) => matches!(over(fault)?, Heard::End(_)),
        };
        self.wire.patience(PATIENCE)?;
        Ok(closed)
    }

    /// Whether the connection still answers: a request that no server knows is refused.
    pub fn expect_answers(&mut self) -> Result<()> {
        self.send(Message::new(number::GLOBAL_REQUEST).string("nothing@drawbridge").flag(true))?;
        loop {
            match self.hear()? {
                // It asks for signs of life itself.
                Heard::Packet(packet) if packet.first() == Some(&number::GLOBAL_REQUEST) => {}
                Heard::Packet(packet) if packet.first() == Some(&number::REQUEST_FAILURE) => return Ok(()),
                other => bail!("instead of an answer: {other:?}"),
            }
        }
    }
}

fn is_aside(packet: &[u8]) -> bool {
    matches!(packet.first(), Some(&(number::IGNORE | number::DEBUG | number::EXT_INFO | number::USERAUTH_BANNER)))
}

fn over(fault: io::Error) -> Result<Heard> {
    match fault.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Ok(Heard::Nothing),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Ok(Heard::End(None)),
        _ => Err(fault.into()),
    }
}

impl Wire for TcpStream {
    fn patience(&self, bound: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(bound))
    }
}

impl Wire for UnixStream {
    fn patience(&self, bound: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(bound))
    }
}

fn request(user: &str, (kind, shown): (&str, &[u8]), signer: &PrivateKey, session: &[u8]) -> Result<Message> {
    let request = Message::new(number::USERAUTH_REQUEST).string(user).string("ssh-connection").string("publickey");
    let request = request.flag(true).string(kind).string(shown);
    let signature = message::signature(signer, &[Message::bare().string(session).bytes(), request.clone().bytes()].concat())?;
    Ok(request.string(&signature))
}

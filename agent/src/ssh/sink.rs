//! The sending side of one session channel: output, then how the program ended, then the end of the channel.

use super::{flow::Flow, signal};
use bytes::Bytes;
use russh::{
    ChannelWriteHalf,
    server::{Handle, Msg, Session},
};
use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

/// RFC 4254 section 5.2: extended data of this kind is standard error.
const STDERR: u32 = 1;
/// How OpenSSH's clients identify themselves.
const OPENSSH: &[u8] = b"SSH-2.0-OpenSSH";

/// Sends in order; every call waits for the client's window or for room in the connection's queue.
#[derive(Debug)]
pub(super) struct Sink {
    channel: ChannelWriteHalf<Msg>,
    flow: Flow,
    connection: Handle,
    /// The client knows `eow@openssh.com`; others were seen to stumble over it.
    hears_end_of_write: bool,
}

/// Where output belongs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stream {
    Out,
    Err,
}

/// How a program ended, as the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Status(u32),
    Signal { number: i32, core: bool },
}

/// The connection has ended; nobody listens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lost;

impl Sink {
    /// To the client's end of `channel`.
    pub(super) fn new(channel: ChannelWriteHalf<Msg>, flow: Flow, wire: &Session) -> Self {
        let hears_end_of_write = wire.remote_sshid().starts_with(OPENSSH);
        Self { channel, flow, connection: wire.handle(), hears_end_of_write }
    }

    /// Says that the program takes no more (OpenSSH PROTOCOL section 2.1).
    pub(super) async fn takes_no_more(&self) {
        if self.hears_end_of_write {
            // Fails only where nobody listens any more.
            let _ = self.connection.end_of_write(self.channel.id()).await;
        }
    }

    /// Sends program output.
    pub(super) async fn send(&self, stream: Stream, data: impl Into<Bytes>) -> Result<(), Lost> {
        let data = data.into();
        self.flow.pass(data.len()).await;
        match stream {
            Stream::Out => self.channel.data_bytes(data).await,
            Stream::Err => self.channel.extended_data_bytes(STDERR, data).await,
        }
        .map_err(|_| Lost)
    }

    /// Tells the ending and closes the channel. `send` and this use one queue, so it comes after all output.
    pub(super) async fn finish(&self, ending: Ending) -> Result<(), Lost> {
        match ending {
            Ending::Status(status) => self.channel.exit_status(status).await.map_err(|_| Lost)?,
            Ending::Signal { number, core } => self.exit_signal(number, core).await?,
        }
        self.channel.eof().await.map_err(|_| Lost)?;
        self.channel.close().await.map_err(|_| Lost)
    }

    async fn exit_signal(&self, number: i32, core: bool) -> Result<(), Lost> {
        let (name, none) = (signal::to_client(number), String::new);
        self.connection.exit_signal_request(self.channel.id(), name, core, none(), none()).await.map_err(|()| Lost)
    }
}

impl From<ExitStatus> for Ending {
    fn from(status: ExitStatus) -> Self {
        match status.signal() {
            Some(number) => Self::Signal { number, core: status.core_dumped() },
            None => Self::Status(status.code().unwrap_or_default().cast_unsigned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_and_signals_are_told_apart() {
        assert_eq!(Ending::from(ExitStatus::from_raw(3 << 8)), Ending::Status(3));
        assert_eq!(Ending::from(ExitStatus::from_raw(255 << 8)), Ending::Status(255));
        assert_eq!(Ending::from(ExitStatus::from_raw(9)), Ending::Signal { number: 9, core: false });
        assert_eq!(Ending::from(ExitStatus::from_raw(11 | 0x80)), Ending::Signal { number: 11, core: true });
    }
}

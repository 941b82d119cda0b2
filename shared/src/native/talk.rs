//! The control stream after Welcome: frames in and out, signs of life, and what the tunnel itself has to say.

use super::{
    control::{ControlFault, Frames},
    pulse::{Beat, Pulse},
    tunnel::{Stream, Tunnel, TunnelReader, TunnelWriter},
};
use crate::tunnel::frame::Frame;
use bytes::BytesMut;
use std::{io, time::Duration};
use tokio::{
    io::AsyncWriteExt,
    sync::watch,
    time::{self, Instant},
};

/// Bytes in line for the other side: hundreds of frames. One that reads none of them is as good as gone.
const MAX_LINE: usize = 64 * 1024;

/// One end of a control stream.
#[derive(Debug)]
pub struct Talk {
    tunnel: Tunnel,
    frames: Frames<TunnelReader>,
    line: Line,
    pulse: Pulse,
    streams: watch::Receiver<usize>,
}

/// What is still to be written.
#[derive(Debug)]
struct Line {
    writer: TunnelWriter,
    bytes: BytesMut,
    unflushed: bool,
}

impl Talk {
    /// Over `control`, the control stream of `tunnel`.
    pub fn new(tunnel: &Tunnel, (reader, writer): Stream) -> Self {
        let line = Line { writer, bytes: BytesMut::new(), unflushed: false };
        let pulse = Pulse::new(Instant::now());
        Self { tunnel: tunnel.clone(), frames: Frames::new(reader), line, pulse, streams: tunnel.streams() }
    }

    /// Puts `frame` in line; [`Self::next`] writes it.
    pub fn say(&mut self, frame: &Frame) -> Result<(), ControlFault> {
        self.line.bytes.extend_from_slice(&frame.encode());
        self.line.unflushed = true;
        if self.line.bytes.len() > MAX_LINE { Err(ControlFault::Stuck) } else { Ok(()) }
    }

    /// Writes what is in line, within `bound`.
    pub async fn finish(&mut self, bound: Duration) -> io::Result<()> {
        time::timeout(bound, self.line.write()).await?
    }

    /// The next frame that is the caller's business; all else is done meanwhile. A wait that is given up loses nothing.
    /// After a fault the tunnel is to be ended.
    pub async fn next(&mut self) -> Result<Frame, ControlFault> {
        loop {
            let wake = match self.beat() {
                Beat::Wait(until) => until,
                Beat::Dead => return Err(ControlFault::Silent),
                Beat::Reroute => {
                    self.tunnel.reroute();
                    continue;
                }
                Beat::Ask => {
                    self.say(&Frame::Ping)?;
                    continue;
                }
            };
            tokio::select! {
                // What has been heard by now counts before any deadline does: this process may have stood still.
                biased;
                heard = self.frames.next() => if let Some(frame) = self.heed(heard?)? { return Ok(frame) },
                ticket = self.tunnel.asked() => self.say(&Frame::Dial { ticket })?,
                written = self.line.write(), if self.line.owes() => written?,
                _ = self.streams.changed() => {}
                () = time::sleep_until(wake) => {}
            }
        }
    }

    fn beat(&mut self) -> Beat {
        let busy = *self.streams.borrow_and_update() > 0;
        self.pulse.beat(Instant::now(), busy, self.tunnel.received())
    }

    fn heed(&mut self, frame: Frame) -> Result<Option<Frame>, ControlFault> {
        self.pulse.heard(Instant::now());
        match frame {
            Frame::Ping => self.say(&Frame::Pong)?,
            Frame::Pong => {}
            Frame::Dial { ticket } => {
                if !self.tunnel.dial(ticket) {
                    return Err(ControlFault::OutOfTurn);
                }
            }
            other => return Ok(Some(other)),
        }
        Ok(None)
    }
}

impl Line {
    fn owes(&self) -> bool {
        self.unflushed
    }

    /// Each step may be given up without loss.
    async fn write(&mut self) -> io::Result<()> {
        while !self.bytes.is_empty() {
            self.writer.write_buf(&mut self.bytes).await?;
        }
        self.writer.flush().await?;
        self.unflushed = false;
        Ok(())
    }
}

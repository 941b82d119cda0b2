//! One agent's tunnel as the rest of the daemon holds it: streams to open, frames to say.

use crate::limits::CONTROL_QUEUE;
use drawbridge_shared::{
    native::tunnel::{Stream, Tunnel},
    tunnel::{
        frame::{Frame, Reason},
        instance::Instance,
    },
};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::mpsc;

/// A registered tunnel; cheap to clone.
#[derive(Clone, Debug)]
pub struct Link {
    tunnel: Tunnel,
    instance: Instance,
    /// Boxed: tokio allocates room for 32 at once, and most tunnels never see one.
    frames: mpsc::Sender<Box<Frame>>,
    drained: Arc<AtomicBool>,
}

impl Link {
    /// Over `tunnel` to the agent process `instance`; what is said comes out of the receiver, for the control stream.
    pub fn new(tunnel: Tunnel, instance: Instance) -> (Self, mpsc::Receiver<Box<Frame>>) {
        let (frames, queue) = mpsc::channel(CONTROL_QUEUE);
        (Self { tunnel, instance, frames, drained: Arc::default() }, queue)
    }

    /// The agent process at the other end.
    pub const fn instance(&self) -> Instance {
        self.instance
    }

    /// Opens a stream for one inner connection.
    pub async fn open(&self) -> io::Result<Stream> {
        self.tunnel.open().await
    }

    /// Says `frame`. An agent that leaves the queue full is as good as gone, and its tunnel ends.
    pub fn say(&self, frame: Frame) {
        if self.frames.try_send(Box::new(frame)).is_err() {
            self.tunnel.close("the control stream is stuck");
        }
    }

    /// Has the agent serve here what runs and go elsewhere for what comes; said once.
    pub fn drain(&self) {
        if !self.drained.swap(true, Ordering::Relaxed) {
            self.say(Frame::Drain);
        }
    }

    /// Says why, as the last frame; the control stream's owner then ends the tunnel.
    pub fn dismiss(&self, reason: Reason, words: &str) {
        self.say(Frame::Goodbye { reason, words: words.into() });
    }
}

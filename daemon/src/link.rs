//! One agent's tunnel as the rest of the daemon holds it: streams to open, frames to say.

use crate::limits::CONTROL_QUEUE;
use drawbridge_shared::{
    native::{
        identity::PublicIdentity,
        tunnel::{Stream, Tunnel},
    },
    tunnel::{
        frame::{Frame, Reason},
        instance::Instance,
    },
};
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::mpsc::{self, error::TrySendError};

/// What an agent is told whose key is no longer its workspace's.
const UNSEATED: &str = "the workspace was deleted, or its agent key was reset: an agent that is to serve it has to enrol";

/// A registered tunnel; cheap to clone.
#[derive(Clone, Debug)]
pub struct Link {
    tunnel: Tunnel,
    instance: Instance,
    key: PublicIdentity,
    /// Boxed: tokio allocates room for 32 at once, and most tunnels never see one.
    frames: mpsc::Sender<Box<Frame>>,
    drained: Arc<AtomicBool>,
}

impl Link {
    /// Over `tunnel` to the agent process `instance`, which proved `key`; what is said comes out of the receiver, for the control
    /// stream.
    pub fn new(tunnel: Tunnel, instance: Instance, key: PublicIdentity) -> (Self, mpsc::Receiver<Box<Frame>>) {
        let (frames, queue) = mpsc::channel(CONTROL_QUEUE);
        (Self { tunnel, instance, key, frames, drained: Arc::default() }, queue)
    }

    /// The agent process at the other end.
    pub const fn instance(&self) -> Instance {
        self.instance
    }

    /// Where it is.
    pub fn peer(&self) -> SocketAddr {
        self.tunnel.peer()
    }

    /// Whether the agent at the other end is still its workspace's, whose key is `current`. One that is not is cut off at once, with
    /// all that it serves: the workspace is gone, or has another agent.
    pub fn stays(&self, current: Option<PublicIdentity>) -> bool {
        let stays = current == Some(self.key);
        if !stays {
            self.tunnel.close(UNSEATED);
        }
        stays
    }

    /// Opens a stream for one inner connection.
    pub async fn open(&self) -> io::Result<Stream> {
        self.tunnel.open().await
    }

    /// Says `frame`. An agent that leaves the queue full is as good as gone, and its tunnel ends. One that has said goodbye is told nothing
    /// more, and what runs there goes on.
    pub fn say(&self, frame: Frame) {
        if let Err(TrySendError::Full(_)) = self.frames.try_send(Box::new(frame)) {
            self.tunnel.close("the control stream is stuck");
        }
    }

    /// Has the agent serve here what runs and go elsewhere for what comes; said once.
    pub fn drain(&self) {
        if !self.drained.swap(true, Ordering::Relaxed) {
            self.say(Frame::Drain);
        }
    }

    /// Ends the tunnel, of which nobody needs to be told: what runs there goes on over another.
    pub fn end(&self) {
        self.tunnel.close("too many tunnels of this workspace are left and still in use: what runs goes on over another");
    }

    /// Says why, as the last frame; the control stream's owner then ends the tunnel.
    pub fn dismiss(&self, reason: Reason, words: &str) {
        self.say(Frame::Goodbye { reason, words: words.into() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawbridge_shared::native::{
        identity::Identity,
        quic::{self, Acceptor},
    };
    use futures_util::FutureExt;
    use std::net::UdpSocket;

    #[tokio::test]
    async fn only_an_agent_that_leaves_its_queue_full_is_given_up() {
        let identity = Identity::from_seed(&[5; 32]);
        let acceptor = Acceptor::new(UdpSocket::bind("127.0.0.1:0").unwrap(), &identity, 0).unwrap();
        let address = acceptor.local_addr().unwrap();
        let accepts = async { acceptor.accept().await.unwrap().admit().await.unwrap() };
        let (_agent, tunnel) = tokio::join!(quic::dial(address, identity.public()), accepts);
        let link = || Link::new(tunnel.clone(), Instance([1; 16]), identity.public());
        let (gone, queue) = link();
        drop(queue);
        gone.say(Frame::Drain);
        assert!(tunnel.closed().now_or_never().is_none(), "what runs there is cut off");
        let (stuck, _queue) = link();
        (0..CONTROL_QUEUE).for_each(|_| stuck.say(Frame::Drain));
        assert!(tunnel.closed().now_or_never().is_none());
        stuck.say(Frame::Drain);
        tunnel.closed().await;
    }
}

//! The agent's side of the handshake: Hello, Proof, and what the daemon makes of it.

use super::{DialFault, Dialer};
use crate::{limits::MAX_RETRY_AFTER, serve::Host};
use drawbridge_shared::{
    native::{
        control::{self, ControlFault},
        identity::PublicIdentity,
        tunnel::{Stream, Tunnel},
    },
    tunnel::{VERSION, frame::Frame, proof::Binding},
};

impl Dialer {
    /// Proves over `tunnel` to `daemon` whose it is; returns the control stream, and which of its processes welcomed us. Has
    /// no bound of its own.
    pub(super) async fn greet(&self, tunnel: &Tunnel, daemon: PublicIdentity) -> Result<(Stream, Host), DialFault> {
        let mut control = tunnel.open().await.map_err(ControlFault::from)?;
        let (reader, writer) = &mut control;
        let agent = concat!("drawbridge-agent ", env!("CARGO_PKG_VERSION")).into();
        let (accepts, alone) = (!self.service.is_leaving(), self.slot.is_alone());
        let hello =
            Frame::Hello { version: VERSION, workspace: self.workspace.clone(), instance: self.instance, accepts, alone, agent };
        control::write(writer, &hello).await.map_err(ControlFault::from)?;
        let nonce = match control::read(reader).await? {
            Frame::Challenge { nonce } => nonce,
            other => return Err(refusal(other)),
        };
        let exporter = tunnel.exporter().map_err(ControlFault::from)?;
        let binding = Binding { nonce: &nonce, daemon: &daemon.0, workspace: &self.workspace, exporter: &exporter };
        let proof = Frame::Proof { signature: binding.sign(&self.key.ssh())? };
        control::write(writer, &proof).await.map_err(ControlFault::from)?;
        match control::read(reader).await? {
            Frame::Welcome { instance: process, alone, .. } => {
                let host = Host { identity: daemon, process };
                if alone {
                    self.service.alone(host);
                }
                Ok((control, host))
            }
            other => Err(refusal(other)),
        }
    }
}

fn refusal(frame: Frame) -> DialFault {
    match frame {
        Frame::Refuse { words, retry_after, .. } => DialFault::Refused { words, retry_after: retry_after.min(MAX_RETRY_AFTER) },
        _ => ControlFault::OutOfTurn.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawbridge_shared::tunnel::frame::Reason;
    use std::time::Duration;

    #[test]
    fn a_daemon_cannot_have_us_wait_for_ever() {
        let asked = |seconds| {
            let retry_after = Duration::from_secs(seconds);
            match refusal(Frame::Refuse { reason: Reason::Busy, words: String::new(), retry_after }) {
                DialFault::Refused { retry_after, .. } => retry_after,
                other => panic!("{other}"),
            }
        };
        assert_eq!(asked(7), Duration::from_secs(7));
        assert_eq!(asked(50 * 24 * 3600), MAX_RETRY_AFTER);
    }
}

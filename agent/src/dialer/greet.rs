//! The agent's side of the handshake: Hello, Proof, and what the daemon makes of it.

use super::{DialFault, Dialer};
use drawbridge_shared::{
    native::{
        control::{self, ControlFault},
        identity::PublicIdentity,
        tunnel::{Stream, Tunnel},
    },
    tunnel::{VERSION, frame::Frame, proof::Binding},
};

impl Dialer {
    /// Proves over `tunnel` to `daemon` whose it is; returns the control stream. Has no bound of its own.
    pub(super) async fn greet(&self, tunnel: &Tunnel, daemon: PublicIdentity) -> Result<Stream, DialFault> {
        let mut control = tunnel.open().await.map_err(ControlFault::from)?;
        let (reader, writer) = &mut control;
        let agent = concat!("drawbridge-agent ", env!("CARGO_PKG_VERSION")).into();
        let hello =
            Frame::Hello { version: VERSION, workspace: self.workspace.clone(), instance: self.instance, accepts: true, agent };
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
            Frame::Welcome { .. } => Ok(control),
            other => Err(refusal(other)),
        }
    }
}

fn refusal(frame: Frame) -> DialFault {
    match frame {
        Frame::Refuse { reason, words, retry_after } => DialFault::Refused { reason, words, retry_after },
        _ => ControlFault::OutOfTurn.into(),
    }
}

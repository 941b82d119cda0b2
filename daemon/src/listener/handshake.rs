//! The daemon's side of the handshake: an agent proves that it holds the key that the snapshot names for its workspace.

use crate::{registry::Seat, snapshot::Snapshots};
use drawbridge_shared::{
    id::WorkspaceId,
    native::{
        control::{self, ControlFault},
        identity::PublicIdentity,
        tunnel::{Stream, Tunnel},
    },
    tunnel::{
        NONCE, VERSION,
        frame::{Frame, Reason},
        proof::Binding,
    },
};
use rand::RngExt;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// An agent that proved itself.
pub(super) struct Welcomed {
    pub(super) seat: Seat,
    /// What it proved.
    pub(super) key: PublicIdentity,
    /// Its build, as it says.
    pub(super) agent: String,
}

/// An agent that is not let in.
pub(super) enum Refusal {
    /// The stream broke, or spoke something else.
    Broken(ControlFault),
    /// It is told why. Whether it is that workspace's agent may be `proven` by then.
    Words { workspace: WorkspaceId, reason: Reason, words: &'static str, proven: bool },
}

impl<T: Into<ControlFault>> From<T> for Refusal {
    fn from(fault: T) -> Self {
        Self::Broken(fault.into())
    }
}

/// Hello, Challenge, Proof; the Welcome is the caller's, once the tunnel is registered.
pub(super) async fn run(
    tunnel: &Tunnel,
    (reader, writer): &mut Stream,
    identity: PublicIdentity,
    snapshots: &Snapshots,
) -> Result<Welcomed, Refusal> {
    let Frame::Hello { version, workspace, instance, accepts, alone, agent } = control::read(reader).await? else {
        return Err(out_of_turn());
    };
    if version != VERSION {
        let words = "this daemon speaks version 1 of the tunnel protocol: upgrade whichever is older";
        return Err(Refusal::Words { workspace, reason: Reason::Version, words, proven: false });
    }
    let nonce: [u8; NONCE] = rand::rng().random();
    control::write(writer, &Frame::Challenge { nonce }).await?;
    let Frame::Proof { signature } = control::read(reader).await? else { return Err(out_of_turn()) };
    let exporter = tunnel.exporter()?;
    let binding = Binding { nonce: &nonce, daemon: &identity.0, workspace: &workspace, exporter: &exporter };
    match proven(&binding, &signature, snapshots).await {
        Some(key) => Ok(Welcomed { seat: Seat { workspace, instance, accepts, alone }, key, agent }),
        None => {
            let words = "no such workspace with this key: enrol the agent, or have an operator reset the workspace's agent key";
            Err(Refusal::Words { workspace, reason: Reason::NotRegistered, words, proven: false })
        }
    }
}

/// A workspace or key that is news to this daemon is looked up once more before it is refused.
async fn proven(binding: &Binding<'_>, signature: &str, snapshots: &Snapshots) -> Option<PublicIdentity> {
    if let Some(key) = fitting(binding, signature, snapshots) {
        return Some(key);
    }
    snapshots.refresh().await;
    fitting(binding, signature, snapshots)
}

fn fitting(binding: &Binding<'_>, signature: &str, snapshots: &Snapshots) -> Option<PublicIdentity> {
    let key = snapshots.current().agent_key(binding.workspace);
    key.filter(|key| binding.verify(&key.ssh(), signature).is_ok())
}

/// Says no and waits until it was heard, which is when the agent closes, or is gone; the caller's deadline bounds that.
pub(super) async fn refuse((mut reader, mut writer): Stream, reason: Reason, words: &str, retry_after: Duration) {
    let refusal = Frame::Refuse { reason, words: words.into(), retry_after };
    if control::write(&mut writer, &refusal).await.is_ok() {
        writer.finish();
        // Whatever it says in place of an end is not heard any more.
        let _ = reader.read_u8().await;
    }
}

const fn out_of_turn() -> Refusal {
    Refusal::Broken(ControlFault::OutOfTurn)
}

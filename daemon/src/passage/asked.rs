//! What a passage is asked for: a length and a workspace's name, and whether and which of its processes.

use drawbridge_shared::{
    id::WorkspaceId,
    tunnel::instance::{INSTANCE, Instance},
};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Whose stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// The workspace.
    pub(super) workspace: WorkspaceId,
    /// The agent's process, if it has to be a certain one.
    pub(super) instance: Option<Instance>,
}

impl Asked {
    pub(super) fn encode(&self) -> Vec<u8> {
        let name = self.workspace.as_str().as_bytes();
        // Ids are short.
        let mut bytes = vec![u8::try_from(name.len()).unwrap_or(u8::MAX)];
        bytes.extend(name);
        bytes.push(u8::from(self.instance.is_some()));
        bytes.extend(self.instance.unwrap_or(Instance([0; INSTANCE])).0);
        bytes
    }

    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut name = vec![0; from.read_u8().await?.into()];
        from.read_exact(&mut name).await?;
        let certain = from.read_u8().await? != 0;
        let mut instance = [0; INSTANCE];
        from.read_exact(&mut instance).await?;
        let name = String::from_utf8(name).map_err(io::Error::other)?;
        Ok(Self { workspace: name.parse().map_err(io::Error::other)?, instance: certain.then_some(Instance(instance)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_read_as_it_was_written() {
        let workspace: WorkspaceId = "796636".parse().unwrap();
        for instance in [None, Some(Instance([7; INSTANCE]))] {
            let asked = Asked { workspace: workspace.clone(), instance };
            let bytes = asked.encode();
            assert_eq!(Asked::read(&mut &bytes[..]).await.unwrap(), asked);
            for end in 0..bytes.len() {
                assert!(Asked::read(&mut &bytes[..end]).await.is_err());
            }
        }
        assert!(Asked::read(&mut &[&b"\x02\xff\xff"[..], &[0; 17]].concat()[..]).await.is_err());
    }
}

//! The demo's own known_hosts: every name under which a workspace can be called, so that ssh asks nothing.

use anyhow::Result;
use drawbridge_shared::id::WorkspaceId;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where it is.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join("known_hosts")
}

/// The lines of the host CA, which are enough for OpenSSH, and for clients that know no CA the keys themselves: of the
/// jump host at `port` the one in `jump`, of each workspace its agent's.
pub(super) fn write(dir: &Path, host_ca: &str, port: u16, jump: &str, workspaces: &[(WorkspaceId, String)]) -> Result<()> {
    let jump = format!("[127.0.0.1]:{port},[localhost]:{port} {}\n", jump.trim());
    let lines = workspaces.iter().map(|(id, key)| format!("{} {key}\n", names(id).join(",")));
    fs::write(path(dir), format!("{host_ca}{jump}{}", lines.collect::<String>()))?;
    Ok(())
}

/// OpenSSH looks a bare integer up as the dotted quad that it makes of it.
fn names(id: &WorkspaceId) -> Vec<String> {
    let quad = id.dotted_quad().map(|quad| quad.to_string());
    let plain =
        [id.to_string(), format!("ws-{id}"), format!("{id}.local.drawbridge.test"), format!("ws-{id}.local.drawbridge.test")];
    plain.into_iter().chain(quad).collect()
}

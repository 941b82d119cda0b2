//! The demo's own known_hosts: every name under which a workspace can be called, so that ssh asks nothing.

use anyhow::Result;
use drawbridge_shared::id::WorkspaceId;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The keys themselves, for clients that know no authorities.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join("known_hosts")
}

/// The host CA, which is enough for OpenSSH. A file of its own: paramiko refuses one that has such a line.
pub(super) fn authorities(dir: &Path) -> PathBuf {
    dir.join("known_hosts.ca")
}

/// The jump host at `port` with the key in `jump`, and each workspace with its agent's key; and the lines of the host CA.
pub(super) fn write(dir: &Path, host_ca: &str, port: u16, jump: &str, workspaces: &[(WorkspaceId, String)]) -> Result<()> {
    let jump = format!("[127.0.0.1]:{port},[localhost]:{port} {}\n", jump.trim());
    let lines = workspaces.iter().map(|(id, key)| format!("{} {key}\n", names(id).join(",")));
    fs::write(path(dir), jump + &lines.collect::<String>())?;
    Ok(fs::write(authorities(dir), host_ca)?)
}

/// OpenSSH looks a bare integer up as the dotted quad that it makes of it.
fn names(id: &WorkspaceId) -> Vec<String> {
    let quad = id.dotted_quad().map(|quad| quad.to_string());
    let plain =
        [id.to_string(), format!("ws-{id}"), format!("{id}.local.drawbridge.test"), format!("ws-{id}.local.drawbridge.test")];
    plain.into_iter().chain(quad).collect()
}

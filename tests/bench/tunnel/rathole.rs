//! The peer: a reverse tunnel of its own kind, encrypted by Noise, as its documentation sets it up.

use anyhow::{Context, Result, ensure};
use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

/// Its server, then its client.
pub(crate) fn start(program: &Path, folder: &Path, [tunnel, visitors, service]: [SocketAddr; 3]) -> Result<[Child; 2]> {
    let (private, public) = keys(program)?;
    let server = format!(
        "[server]\nbind_addr = \"{tunnel}\"\ndefault_token = \"bench\"\n[server.transport]\ntype = \"noise\"\n\
         [server.transport.noise]\nlocal_private_key = \"{private}\"\n[server.services.bench]\nbind_addr = \"{visitors}\"\n"
    );
    let client = format!(
        "[client]\nremote_addr = \"{tunnel}\"\ndefault_token = \"bench\"\n[client.transport]\ntype = \"noise\"\n\
         [client.transport.noise]\nremote_public_key = \"{public}\"\n[client.services.bench]\nlocal_addr = \"{service}\"\n"
    );
    Ok([end(program, folder, "server", &server)?, end(program, folder, "client", &client)?])
}

fn end(program: &Path, folder: &Path, role: &str, config: &str) -> Result<Child> {
    let file = folder.join(role).with_extension("toml");
    fs::write(&file, config)?;
    let mut rathole = Command::new(program);
    rathole.arg(format!("--{role}")).arg(&file).env("RUST_LOG", "error").stdin(Stdio::null()).stdout(Stdio::null());
    rathole.spawn().context("rathole does not start")
}

/// Of Noise: the private one, and the public one.
fn keys(program: &Path) -> Result<(String, String)> {
    let output = Command::new(program).arg("--genkey").output()?;
    let said = String::from_utf8(output.stdout)?;
    let keys: Vec<_> = said.lines().map(str::trim).filter(|line| !line.is_empty() && !line.ends_with(':')).collect();
    ensure!(keys.len() == 2, "rathole's keys are not understood: {} lines", keys.len());
    Ok((keys[0].into(), keys[1].into()))
}

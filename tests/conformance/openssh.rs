//! Cases with OpenSSH's own tools as clients.

mod agent;
mod connection;
mod copies;
mod end;
mod exec;
pub(crate) mod forward;
mod pipes;
mod remote;
mod scp;
mod sftp;
mod shell;
mod terminal;
mod transfer;
mod tree;

use crate::{Case, Named, scene::Scene};
use anyhow::Result;

/// A case that is one function.
pub(crate) type Plain = (&'static str, fn(&Scene<'_>) -> Result<()>);

/// All of them.
pub(crate) fn cases() -> impl Iterator<Item = Named> {
    let plain = [
        exec::CASES,
        shell::CASES,
        terminal::CASES,
        pipes::CASES,
        transfer::CASES,
        connection::CASES,
        end::CASES,
        forward::CASES,
        remote::CASES,
        agent::CASES,
        sftp::CASES,
        scp::CASES,
        copies::CASES,
    ];
    plain.into_iter().flatten().map(named).chain(exec::commands()).chain(terminal::commands())
}

/// `openssh::` before its name.
fn named((name, play): &Plain) -> Named {
    (format!("openssh::{name}"), boxed(*play))
}

/// A function as a case.
pub(crate) fn boxed(play: fn(&Scene<'_>) -> Result<()>) -> Box<dyn Case + Send> {
    Box::new(play)
}

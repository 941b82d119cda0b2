//! What editors and tools of automation do over ssh, step by step.

mod ansible;
mod jetbrains;
mod vscode;

use crate::{Named, openssh::boxed};

/// All of them.
pub(crate) fn cases() -> impl Iterator<Item = Named> {
    let all = [vscode::CASES, jetbrains::CASES, ansible::CASES];
    all.into_iter().flatten().map(|(name, play)| (format!("replay::{name}"), boxed(*play)))
}

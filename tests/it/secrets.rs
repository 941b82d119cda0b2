//! Last of all: what the run logged holds no token and no private key.

use crate::{Run::Shared, Test};
use anyhow::{Result, ensure};
use e2e::Stack;
use std::fs;

pub(crate) const TESTS: &[Test] = &[("secrets::no_log_holds_one", Shared(no_log_holds_one))];

fn no_log_holds_one(world: &Stack) -> Result<()> {
    let tokens = world.users.iter().map(|user| &user.token).chain(world.workspaces.iter().map(|workspace| &workspace.token));
    let secrets: Vec<&str> = tokens.chain([&world.edge.operator_token]).map(String::as_str).chain(["PRIVATE KEY"]).collect();
    for log in fs::read_dir(world.dir().join("logs"))? {
        let (path, text) =
            (log.as_ref().map(fs::DirEntry::path), fs::read_to_string(log.as_ref().map(fs::DirEntry::path).unwrap_or_default())?);
        ensure!(!secrets.iter().any(|secret| text.contains(secret)), "{path:?} holds a secret");
        ensure!(!["dbo_", "dbu_", "dba_", "dbd_"].iter().any(|prefix| text.contains(prefix)), "{path:?} holds a token");
    }
    Ok(())
}

//! The Ledger: authenticates, decides and publishes in one step, over rows that are changed together or not at all.
//!
//! It knows no clock, no randomness and no runtime. Acknowledged means: durable here, and in every manifest from now on.
//! Workers KV follows through the journal ([`journal`]); the Ledger never reads it.

mod access;
mod agent;
mod change;
mod daemons;
mod documents;
mod host_ca;
mod import;
pub mod journal;
mod keys;
mod manifest;
mod membership;
mod paging;
mod publish;
pub mod rebuild;
mod regions;
mod room;
mod tokens;
mod usage;
mod workspaces;

use crate::{
    command::{Call, Command, DaemonCommand, OperatorCommand, Outcome, Reply},
    limits::HEARTBEAT,
    refusal::Refusal,
    rows::{Rows, RowsFault},
    secrets::Secrets,
};
use access::Caller;
use change::Change;
use documents::Documents;
use drawbridge_shared::{
    id::DaemonId,
    time::Timestamp,
    token::{Scope, TokenHash},
};
pub use regions::jump_host;

/// All facts, and everything that is decided from them.
#[derive(Debug)]
pub struct Ledger<R> {
    rows: R,
    secrets: Result<Secrets, Vec<String>>,
    documents: Documents,
}

/// What has happened besides the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Rows are other than before.
    pub changed: bool,
    /// A new manifest, for those who follow the feed.
    pub published: Option<String>,
    /// Tokens that are good no longer.
    pub revoked: Vec<TokenHash>,
}

impl<R: Rows> Ledger<R> {
    /// Over `rows`; without usable secrets every question is refused with their names.
    pub const fn new(rows: R, secrets: Result<Secrets, Vec<String>>) -> Self {
        Self { rows, secrets, documents: Documents::new() }
    }

    /// Answers one question at `now`. Refused means: nothing was changed.
    pub fn call(&self, call: Call, now: Timestamp) -> (Reply, Effects) {
        match self.attempt(call, now) {
            Ok((outcome, effects)) => (Ok(outcome), effects),
            Err(refusal) => (Err(refusal), Effects::default()),
        }
    }

    fn attempt(&self, call: Call, now: Timestamp) -> Result<(Outcome, Effects), Refusal> {
        let secrets = self.secrets()?;
        let mut change = Change::new(&self.rows, now);
        let caller = access::authenticate(&change, secrets, &call.token)?;
        let outcome = execute(&mut change, (secrets, &self.documents), (caller, call.token), call.command)?;
        Ok((outcome, self.finish(change, secrets)?))
    }

    fn finish(&self, change: Change<'_, R>, secrets: &Secrets) -> Result<Effects, Refusal> {
        let effects = change.finish(secrets)?;
        if effects.published.is_some() {
            self.documents.forget();
        }
        Ok(effects)
    }

    /// What time brings: a manifest signed anew, and shards dropped that nobody fetches any more.
    pub fn tick(&self, now: Timestamp) -> Result<Effects, Refusal> {
        let secrets = self.secrets()?;
        let mut change = Change::new(&self.rows, now);
        manifest::sweep(&mut change)?;
        if manifest::current(&change)?.is_some_and(|held| now.since(held.issued_at) >= HEARTBEAT) {
            change.republish();
        }
        self.finish(change, secrets)
    }

    /// When [`Self::tick`] has something to do next.
    pub fn due(&self) -> Result<Option<Timestamp>, RowsFault> {
        manifest::due(&self.rows)
    }

    /// Whether the bearer of `token` may (still) follow the feed.
    pub fn may_follow(&self, token: &TokenHash, now: Timestamp) -> bool {
        let Ok(secrets) = self.secrets() else { return false };
        let caller = access::authenticate(&Change::new(&self.rows, now), secrets, token);
        caller.is_ok_and(|caller| matches!(caller.scope(), Scope::Daemon | Scope::Operator))
    }

    fn secrets(&self) -> Result<&Secrets, Refusal> {
        self.secrets.as_ref().map_err(|names| Refusal::Misconfigured(names.clone()))
    }
}

fn execute<R: Rows>(
    change: &mut Change<'_, R>,
    (secrets, documents): (&Secrets, &Documents),
    (caller, token): (Caller, TokenHash),
    command: Command,
) -> Result<Outcome, Refusal> {
    match (caller, command) {
        (Caller::User(user), Command::User(command)) => keys::execute(change, secrets, &user, command),
        (Caller::Operator, Command::Operator(command)) => operator(change, command),
        (Caller::Agent(workspace), Command::Agent(command)) => {
            agent::execute(change, (secrets, documents), (workspace, token), command)
        }
        (Caller::Daemon(id), Command::Daemon(command)) => daemon(change, secrets, &id, command),
        (Caller::Daemon(_) | Caller::Operator, Command::Snapshot(command)) => manifest::execute(change, secrets, command),
        (caller, command) => Err(Refusal::Scope { has: caller.scope(), needs: command.scope() }),
    }
}

fn daemon<R: Rows>(
    change: &mut Change<'_, R>,
    secrets: &Secrets,
    id: &DaemonId,
    command: DaemonCommand,
) -> Result<Outcome, Refusal> {
    match command {
        DaemonCommand::HostCertificate { nonce } => Ok(Outcome::HostCertificate(host_ca::daemon(change, secrets, id, nonce)?)),
        DaemonCommand::Used(used) => Ok(usage::report(change, &used).map(|()| Outcome::Done)?),
    }
}

fn operator<R: Rows>(change: &mut Change<'_, R>, command: OperatorCommand) -> Result<Outcome, Refusal> {
    use OperatorCommand as C;
    match command {
        C::PutToken { hash, scope, subject, expires_at } => tokens::put(change, hash, scope, subject, expires_at),
        C::ListTokens(page) => tokens::list(change, &page),
        C::RevokeToken(hash) => tokens::revoke(change, hash),
        C::PutWorkspace { id, region } => workspaces::put(change, id, region),
        C::ListWorkspaces(page) => workspaces::list(change, &page),
        C::GetWorkspace(id) => workspaces::get(change, id),
        C::DeleteWorkspace(id) => workspaces::delete(change, &id),
        C::RotateAgentToken { workspace, hash, grace } => tokens::rotate(change, &workspace, hash, grace),
        C::ListMembers(id, page) => workspaces::list_members(change, &id, &page),
        C::PutMember(id, user) => workspaces::put_member(change, &id, &user),
        C::DeleteMember(id, user) => workspaces::delete_member(change, &id, &user),
        C::SetAsleep(id, asleep) => workspaces::set_asleep(change, &id, asleep),
        C::ResetAgentKey(id) => workspaces::reset_agent_key(change, &id),
        C::PutDaemon { id, identity, region, addresses } => daemons::put(change, id, identity, region, addresses),
        C::ListDaemons(page) => daemons::list(change, &page),
        C::DeleteDaemon(id) => daemons::delete(change, &id),
        C::PutRegion { region, hosts, port } => regions::put(change, region, hosts, port),
        C::ListRegions(page) => regions::list(change, &page),
        C::DeleteRegion(region) => regions::delete(change, &region),
        C::Import(items) => import::run(change, items),
    }
}

#[cfg(test)]
mod tests;

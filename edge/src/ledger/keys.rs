//! A user's keys.

use super::{
    change::{Change, decode},
    membership, regions,
};
use crate::{
    command::{Access, File, Outcome, UserCommand},
    facts::{KeyFact, sort_keys},
    limits::KEYS_PER_USER,
    names,
    refusal::{Refusal, Thing},
    rows::{Rows, RowsFault},
    secrets::Secrets,
};
use drawbridge_shared::{fingerprint::Fingerprint, id::UserId, time::Timestamp};

pub(super) fn execute<R: Rows>(
    change: &mut Change<'_, R>,
    secrets: &Secrets,
    user: &UserId,
    command: UserCommand,
) -> Result<Outcome, Refusal> {
    match command {
        UserCommand::AddKey { fingerprint, line, title, expires_at } => {
            let fact = KeyFact { line, title, created_at: change.now(), expires_at };
            add(change, user, fingerprint, &fact)?;
            Ok(Outcome::Key(fact.item(fingerprint, None)))
        }
        UserCommand::ListKeys => list(change, user),
        UserCommand::RemoveKey(fingerprint) => remove(change, user, &fingerprint),
        UserCommand::ListWorkspaces(page) => Ok(Outcome::UserWorkspaces(membership::list(change, user, &page)?)),
        UserCommand::Access(file) => access(change, secrets, user, file),
    }
}

/// One that has expired makes room for the same key again.
pub(super) fn add<R: Rows>(
    change: &mut Change<'_, R>,
    user: &UserId,
    fingerprint: Fingerprint,
    fact: &KeyFact,
) -> Result<(), Refusal> {
    let name = names::key(user, &fingerprint);
    let held: Option<KeyFact> = change.fact(&name)?;
    if fact.expired(change.now()) {
        return Err(Refusal::PastExpiry);
    }
    match held {
        Some(held) if !held.expired(change.now()) => return Err(Refusal::KeyExists),
        None if change.count(&names::keys_of(user), KEYS_PER_USER)? >= KEYS_PER_USER => return Err(Refusal::TooManyKeys),
        _ => {}
    }
    change.put_fact(name, fact)?;
    change.unmark(names::last_use(user, &fingerprint));
    change.touch_key(&fingerprint, user, fact.expires_at);
    Ok(())
}

fn list<R: Rows>(change: &Change<'_, R>, user: &UserId) -> Result<Outcome, Refusal> {
    let mut items = Vec::new();
    for (fingerprint, fact) in of(change, user)? {
        items.push(fact.item(fingerprint, last_use(change, user, &fingerprint)?));
    }
    sort_keys(&mut items);
    Ok(Outcome::Keys(items))
}

fn remove<R: Rows>(change: &mut Change<'_, R>, user: &UserId, fingerprint: &Fingerprint) -> Result<Outcome, Refusal> {
    let name = names::key(user, fingerprint);
    change.get(&name)?.ok_or(Refusal::NotFound(Thing::Key))?;
    change.delete(name);
    change.unmark(names::last_use(user, fingerprint));
    change.drop_key(fingerprint, user);
    Ok(Outcome::Done)
}

fn access<R: Rows>(change: &Change<'_, R>, secrets: &Secrets, user: &UserId, file: File) -> Result<Outcome, Refusal> {
    let (workspaces, regions) = (membership::all(change, user)?, regions::all(change)?);
    Ok(Outcome::Access(Access { workspaces, regions, host_ca: secrets.host_ca_lines() }, file))
}

/// All keys of `user`, by fingerprint.
pub(super) fn of<R: Rows>(change: &Change<'_, R>, user: &UserId) -> Result<Vec<(Fingerprint, KeyFact)>, RowsFault> {
    let rows = change.scan(&names::keys_of(user), "", KEYS_PER_USER)?;
    let rows = rows.into_iter().filter_map(|(name, value)| Some((names::fingerprint_of(&name)?, decode(&name, &value))));
    rows.map(|(fingerprint, fact)| Ok((fingerprint, fact?))).collect()
}

/// When a key was last used.
pub(super) fn last_use<R: Rows>(
    change: &Change<'_, R>,
    user: &UserId,
    fingerprint: &Fingerprint,
) -> Result<Option<Timestamp>, RowsFault> {
    let seconds = change.get(&names::last_use(user, fingerprint))?;
    Ok(seconds.and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok()).map(Timestamp::from_unix))
}

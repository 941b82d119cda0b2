//! A user's keys.

use super::{
    change::{Change, decode, number},
    membership, regions, room,
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

/// Sees to it that `user` has this key with this title and this end; whether anything had to change.
pub(super) fn ensure<R: Rows>(
    change: &mut Change<'_, R>,
    user: &UserId,
    fingerprint: Fingerprint,
    fact: KeyFact,
) -> Result<bool, Refusal> {
    let held: Option<KeyFact> = change.fact(&names::key(user, &fingerprint))?;
    match held {
        Some(held) if !held.expired(change.now()) => update(change, user, fingerprint, (held, fact)),
        _ => add(change, user, fingerprint, &fact).map(|()| true),
    }
}

/// It stays as old as it was, and has the end that it had where nothing is said of one: no silence lengthens a key's life.
fn update<R: Rows>(
    change: &mut Change<'_, R>,
    user: &UserId,
    fingerprint: Fingerprint,
    (held, wanted): (KeyFact, KeyFact),
) -> Result<bool, Refusal> {
    if wanted.expired(change.now()) {
        return Err(Refusal::PastExpiry);
    }
    let fact = KeyFact { created_at: held.created_at, expires_at: wanted.expires_at.or(held.expires_at), ..wanted };
    if (&held.title, held.expires_at) == (&fact.title, fact.expires_at) {
        return Ok(false);
    }
    change.put_fact(names::key(user, &fingerprint), &fact)?;
    change.touch_key(&fingerprint, user, fact.expires_at);
    Ok(true)
}

/// Those that have expired make room: for the same key again, and for others where there are too many.
fn add<R: Rows>(change: &mut Change<'_, R>, user: &UserId, fingerprint: Fingerprint, fact: &KeyFact) -> Result<(), Refusal> {
    let name = names::key(user, &fingerprint);
    let held: Option<KeyFact> = change.fact(&name)?;
    if fact.expired(change.now()) {
        return Err(Refusal::PastExpiry);
    }
    let leaves = match held {
        Some(held) if !held.expired(change.now()) => return Err(Refusal::KeyExists),
        Some(_) => None,
        None => make_room(change, user)?,
    };
    room::take_for_key(change, user)?;
    if let Some(leaves) = leaves {
        drop_key(change, user, &leaves);
    }
    change.put_fact(name, fact)?;
    change.unmark(names::last_use(user, &fingerprint));
    change.touch_key(&fingerprint, user, fact.expires_at);
    Ok(())
}

/// Which key has to leave so that another can come, if any has to: one that has expired. One is enough, and touches one shard.
fn make_room<R: Rows>(change: &Change<'_, R>, user: &UserId) -> Result<Option<Fingerprint>, Refusal> {
    if change.count(&names::keys_of(user), KEYS_PER_USER)? < KEYS_PER_USER {
        return Ok(None);
    }
    let all = of(change, user)?;
    let expired = all.iter().find(|(_, fact)| fact.expired(change.now()));
    expired.map(|(fingerprint, _)| Some(*fingerprint)).ok_or(Refusal::TooManyKeys)
}

fn list<R: Rows>(change: &Change<'_, R>, user: &UserId) -> Result<Outcome, Refusal> {
    let uses = change.scan(&names::last_uses_of(user), "", KEYS_PER_USER)?;
    let last_use = |fingerprint| {
        uses.iter().find(|(name, _)| names::fingerprint_of(name) == Some(fingerprint)).and_then(|(_, seconds)| time(seconds))
    };
    let mut items: Vec<_> = of(change, user)?.into_iter().map(|(fp, fact)| fact.item(fp, last_use(fp))).collect();
    sort_keys(&mut items);
    Ok(Outcome::Keys(items))
}

fn remove<R: Rows>(change: &mut Change<'_, R>, user: &UserId, fingerprint: &Fingerprint) -> Result<Outcome, Refusal> {
    change.get(&names::key(user, fingerprint))?.ok_or(Refusal::NotFound(Thing::Key))?;
    drop_key(change, user, fingerprint);
    Ok(Outcome::Done)
}

fn drop_key<R: Rows>(change: &mut Change<'_, R>, user: &UserId, fingerprint: &Fingerprint) {
    change.delete(names::key(user, fingerprint));
    change.unmark(names::last_use(user, fingerprint));
    change.drop_key(fingerprint, user);
}

fn access<R: Rows>(change: &Change<'_, R>, secrets: &Secrets, user: &UserId, file: File) -> Result<Outcome, Refusal> {
    let (workspaces, regions) = (membership::all(change, user)?, regions::all(change)?);
    Ok(Outcome::Access(Access { workspaces, regions, host_ca: secrets.host_ca_lines() }, file))
}

/// All keys of `user`, by fingerprint.
fn of<R: Rows>(change: &Change<'_, R>, user: &UserId) -> Result<Vec<(Fingerprint, KeyFact)>, RowsFault> {
    let rows = change.scan(&names::keys_of(user), "", KEYS_PER_USER)?;
    let rows = rows.into_iter().filter_map(|(name, value)| Some((names::fingerprint_of(&name)?, decode(&name, &value))));
    rows.map(|(fingerprint, fact)| Ok((fingerprint, fact?))).collect()
}

/// Those of them that have not expired.
pub(super) fn lasting<R: Rows>(change: &Change<'_, R>, user: &UserId) -> Result<Vec<(Fingerprint, KeyFact)>, RowsFault> {
    let mut keys = of(change, user)?;
    keys.retain(|(_, fact)| !fact.expired(change.now()));
    Ok(keys)
}

/// When a key was last used.
pub(super) fn last_use<R: Rows>(
    change: &Change<'_, R>,
    user: &UserId,
    fingerprint: &Fingerprint,
) -> Result<Option<Timestamp>, RowsFault> {
    Ok(change.get(&names::last_use(user, fingerprint))?.and_then(|seconds| time(&seconds)))
}

fn time(seconds: &[u8]) -> Option<Timestamp> {
    number(seconds).map(Timestamp::from_unix)
}

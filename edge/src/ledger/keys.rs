//! A user's keys.

use super::change::{Change, decode};
use crate::{
    command::{Outcome, UserCommand},
    facts::{KeyFact, sort_keys},
    limits::KEYS_PER_USER,
    names,
    refusal::{Refusal, Thing},
    rows::{Rows, RowsFault},
};
use drawbridge_shared::{fingerprint::Fingerprint, id::UserId};

pub(super) fn execute<R: Rows>(change: &mut Change<'_, R>, user: &UserId, command: UserCommand) -> Result<Outcome, Refusal> {
    match command {
        UserCommand::AddKey { fingerprint, line, title } => add(change, user, fingerprint, line, title),
        UserCommand::ListKeys => list(change, user),
        UserCommand::RemoveKey(fingerprint) => remove(change, user, &fingerprint),
    }
}

fn add<R: Rows>(
    change: &mut Change<'_, R>,
    user: &UserId,
    fingerprint: Fingerprint,
    line: String,
    title: String,
) -> Result<Outcome, Refusal> {
    let name = names::key(user, &fingerprint);
    if change.get(&name)?.is_some() {
        return Err(Refusal::KeyExists);
    }
    if change.count(&names::keys_of(user), KEYS_PER_USER)? >= KEYS_PER_USER {
        return Err(Refusal::TooManyKeys);
    }
    let fact = KeyFact { line, title, created_at: change.now() };
    change.put_fact(name, &fact)?;
    change.touch_key(&fingerprint, user, true);
    Ok(Outcome::Key(fact.item(fingerprint)))
}

fn list<R: Rows>(change: &Change<'_, R>, user: &UserId) -> Result<Outcome, Refusal> {
    let keys = of(change, user)?;
    let mut items: Vec<_> = keys.into_iter().map(|(fingerprint, fact)| fact.item(fingerprint)).collect();
    sort_keys(&mut items);
    Ok(Outcome::Keys(items))
}

fn remove<R: Rows>(change: &mut Change<'_, R>, user: &UserId, fingerprint: &Fingerprint) -> Result<Outcome, Refusal> {
    let name = names::key(user, fingerprint);
    change.get(&name)?.ok_or(Refusal::NotFound(Thing::Key))?;
    change.delete(name);
    change.touch_key(fingerprint, user, false);
    Ok(Outcome::Done)
}

/// All keys of `user`, by fingerprint.
pub(super) fn of<R: Rows>(change: &Change<'_, R>, user: &UserId) -> Result<Vec<(Fingerprint, KeyFact)>, RowsFault> {
    let rows = change.scan(&names::keys_of(user), "", KEYS_PER_USER)?;
    let rows = rows.into_iter().filter_map(|(name, value)| Some((names::fingerprint_of(&name)?, decode(&name, &value))));
    rows.map(|(fingerprint, fact)| Ok((fingerprint, fact?))).collect()
}

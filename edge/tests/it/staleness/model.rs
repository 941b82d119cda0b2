//! What should be: users' keys and workspaces' members, now and at every publish.

use super::step::Ask;
use std::collections::{BTreeMap, BTreeSet};

/// All facts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// (key, user)
    pub(super) keys: BTreeSet<(u8, u8)>,
    /// Members by workspace.
    pub(super) workspaces: BTreeMap<u8, BTreeSet<u8>>,
}

/// Facts as they came to be.
#[derive(Default)]
pub(super) struct Model {
    now: Facts,
    /// What was so after a change, with the number of the last manifest before it.
    past: Vec<(u64, Facts)>,
}

impl Model {
    /// Carries out `ask` and says which status it has; `last` is the number of the newest manifest.
    pub(super) fn carry_out(&mut self, ask: &Ask, last: u64) -> u16 {
        let before = self.now.clone();
        let status = self.now.carry_out(ask);
        if self.now != before {
            self.past.push((last, self.now.clone()));
        }
        status
    }

    pub(super) fn now(&self) -> &Facts {
        &self.now
    }

    /// What manifest number `seq` has to say: everything that was acknowledged before it, and nothing since.
    pub(super) fn at(&self, seq: u64) -> Facts {
        self.past.iter().rev().find(|(last, _)| *last < seq).map(|(_, facts)| facts.clone()).unwrap_or_default()
    }

    /// Whether this was ever the case.
    pub(super) fn ever(&self, key: (u8, u8)) -> bool {
        self.past.iter().any(|(_, facts)| facts.keys.contains(&key))
    }
}

impl Facts {
    fn carry_out(&mut self, ask: &Ask) -> u16 {
        match *ask {
            Ask::AddKey { user, key } => {
                if self.keys.insert((key, user)) {
                    201
                } else {
                    409
                }
            }
            Ask::RemoveKey { user, key } => done(self.keys.remove(&(key, user))),
            Ask::ListKeys { .. } => 200,
            Ask::PutWorkspace { workspace } => {
                let created = !self.workspaces.contains_key(&workspace);
                self.workspaces.entry(workspace).or_default();
                if created { 201 } else { 200 }
            }
            Ask::DeleteWorkspace { workspace } => done(self.workspaces.remove(&workspace).is_some()),
            Ask::PutMember { workspace, user } => match self.workspaces.get_mut(&workspace) {
                Some(members) => {
                    members.insert(user);
                    204
                }
                None => 404,
            },
            Ask::DeleteMember { workspace, user } => {
                done(self.workspaces.get_mut(&workspace).is_some_and(|members| members.remove(&user)))
            }
        }
    }

    /// The keys of `user`.
    pub(super) fn keys_of(&self, user: u8) -> BTreeSet<u8> {
        self.keys.iter().filter(|(_, owner)| *owner == user).map(|(key, _)| *key).collect()
    }
}

fn done(was_there: bool) -> u16 {
    if was_there { 204 } else { 404 }
}

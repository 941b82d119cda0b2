//! The end of a history: all is healed, time passes, and everybody has to say the same.

use super::{
    follower::{fingerprint, user_id, workspace_id},
    history::{History, listed, stale},
    model::Facts,
    step::{Link, PLACES, Place, USERS},
};
use drawbridge_edge::names;
use std::collections::BTreeSet;

/// What a location remembers is forgotten by then.
const FORGOTTEN: u64 = 61;

impl History {
    pub(super) fn settle(&mut self) {
        (0..PLACES).for_each(|place| self.at(Place(place)).set(Link::Up));
        self.tick();
        self.let_kv_follow();
        self.common.wait(FORGOTTEN);
        self.kv_is_as_the_model();
        let newest = self.common.published.lock().unwrap().last().cloned();
        (0..PLACES).for_each(|place| self.says_the_same(Place(place)));
        if let Some(text) = newest {
            self.deliver(Place(0), &text);
            assert_eq!(self.daemon.seq(), self.last(), "the daemon did not come to the end");
            assert_eq!(self.model.at(self.daemon.seq()), *self.model.now());
        }
    }

    /// With the Ledger and without it.
    fn says_the_same(&self, place: Place) {
        for user in 0..USERS {
            let fresh = self.list_answer(place, user);
            assert!(!stale(&fresh) && listed(&fresh) == self.model.now().keys_of(user));
            self.at(place).set(Link::Down);
            let from_kv = self.list_answer(place, user);
            self.at(place).set(Link::Up);
            assert!(stale(&from_kv));
            assert_eq!((from_kv.status, from_kv.text()), (fresh.status, fresh.text()));
        }
    }

    /// Exactly the model's facts, by their names.
    fn kv_is_as_the_model(&self) {
        let kv = self.common.kv.lock().unwrap();
        let held = kv.values().keys().filter(|name| ["k/", "w/", "m/"].iter().any(|folder| name.starts_with(folder)));
        assert_eq!(held.cloned().collect::<BTreeSet<_>>(), names_of(self.model.now()));
        let manifest = kv.values().get(names::MANIFEST).map(|bytes| String::from_utf8(bytes.clone()).unwrap());
        assert_eq!(manifest.as_ref(), self.common.published.lock().unwrap().last());
    }
}

fn names_of(facts: &Facts) -> BTreeSet<String> {
    let keys = facts.keys.iter().map(|(key, user)| names::key(&user_id(*user), &fingerprint(*key)));
    let workspaces = facts.workspaces.keys().map(|workspace| names::workspace(&workspace_id(*workspace)));
    let pairs = facts.workspaces.iter().flat_map(|(workspace, members)| members.iter().map(move |user| (*workspace, *user)));
    let members = pairs.map(|(workspace, user)| names::member(&workspace_id(workspace), &user_id(user)));
    keys.chain(workspaces).chain(members).collect()
}

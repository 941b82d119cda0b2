//! Many callers at once under real workerd: every answer counts, and the snapshot says what the answers said.

use crate::{Run::Shared, Test};
use anyhow::{Result, anyhow, ensure};
use drawbridge_shared::{api::KeyItem, fingerprint::Fingerprint, id::UserId, key::UserKey};
use e2e::{
    SOON, Stack,
    follower::{Follower, lets_in},
};
use serde_json::json;
use std::{collections::BTreeSet, fs, thread, time::Duration};
use xtask::{
    api::{Answer, Api},
    stack,
};

pub(crate) const TESTS: &[Test] = &[("races::a_storm_ends_as_its_answers_said", Shared(storm))];

/// Users who race, each against themselves.
const USERS: [&str; 2] = ["storm-0", "storm-1"];
/// Keys that all of them register and delete.
const KEYS: usize = 3;
/// Two for each user.
const CALLERS: u64 = 4;
/// Calls of each caller.
const CALLS: u64 = 25;
/// Nobody polls within a test: what is not pushed is not seen.
const NEVER: Duration = Duration::from_secs(3600);

struct Key {
    line: String,
    fingerprint: Fingerprint,
}

/// Acknowledged additions less acknowledged removals, by key: each must end as 0 or 1.
type Balance = [i32; KEYS];

fn key(folder: &std::path::Path, number: usize) -> Result<Key> {
    let file = stack::keygen(&folder.join(number.to_string()), "storm")?;
    let line = fs::read_to_string(file.with_extension("pub"))?;
    let fingerprint = UserKey::parse(&line)?.fingerprint();
    Ok(Key { line, fingerprint })
}

/// One caller's calls; their order differs between callers, and is the same every time.
fn call(api: &Api, keys: &[Key], caller: u64) -> Result<Balance> {
    let mut balance = Balance::default();
    for number in 0..CALLS {
        let dice = (number * 7 + caller * 5) % 11;
        let at = usize::try_from(dice)? % KEYS;
        let key = &keys[at];
        balance[at] += if (number + dice).is_multiple_of(2) { add(api, key)? } else { -remove(api, key)? };
    }
    Ok(balance)
}

/// 1 if it was added, 0 if it was there.
fn add(api: &Api, key: &Key) -> Result<i32> {
    done(&api.post("/api/ssh/keys", &json!({"publicKey": key.line}))?, 201, 409)
}

/// 1 if it was removed, 0 if it was not there.
fn remove(api: &Api, key: &Key) -> Result<i32> {
    done(&api.delete("/api/ssh/keys", &json!({"publicKeyFingerprint": key.fingerprint}))?, 204, 404)
}

fn done(answer: &Answer, yes: u16, no: u16) -> Result<i32> {
    ensure!([yes, no].contains(&answer.status), "neither {yes} nor {no}: {answer:?}");
    Ok(i32::from(answer.status == yes))
}

/// Every caller at the same time; their balances in the order of their numbers.
fn all_at_once(apis: &[Api], keys: &[Key]) -> Result<Vec<Balance>> {
    thread::scope(|scope| {
        let callers = apis.iter().cycle().zip(0..CALLERS).map(|(api, number)| scope.spawn(move || call(api, keys, number)));
        let callers: Vec<_> = callers.collect();
        callers.into_iter().map(|caller| caller.join().map_err(|_| anyhow!("a caller panicked"))?).collect()
    })
}

fn storm(world: &Stack) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let keys = (0..KEYS).map(|number| key(folder.path(), number)).collect::<Result<Vec<_>>>()?;
    let operator = world.edge.operator();
    let apis = USERS.iter().map(|user| Ok(Api::new(&world.edge.url, &stack::mint(&operator, "user", user)?)));
    let apis = apis.collect::<Result<Vec<_>>>()?;
    let follower = Follower::start(&world.edge, "storm-follower", NEVER)?;
    let balances = all_at_once(&apis, &keys)?;
    let late = Follower::start(&world.edge, "storm-latecomer", NEVER)?;
    for (number, (name, api)) in USERS.iter().zip(&apis).enumerate() {
        let mine = balances.iter().skip(number).step_by(USERS.len());
        let balance = mine.fold(Balance::default(), |sum, one| std::array::from_fn(|at| sum[at] + one[at]));
        let held = listed(api)?;
        for (key, balance) in keys.iter().zip(balance) {
            let expected = i32::from(held.contains(&key.fingerprint));
            ensure!(balance == expected, "{name} added a key {balance} times more than removed, and is listed {expected}");
        }
        for follower in [&follower, &late] {
            says(follower, &name.parse()?, &keys, &held)?;
        }
    }
    Ok(())
}

fn listed(api: &Api) -> Result<BTreeSet<Fingerprint>> {
    let items: Vec<KeyItem> = api.get("/api/ssh/keys")?.json()?;
    Ok(items.into_iter().map(|item| item.public_key_fingerprint).collect())
}

/// Whoever followed through the storm, and whoever came behind it, lets in with exactly the listed keys.
fn says(follower: &Follower, user: &UserId, keys: &[Key], held: &BTreeSet<Fingerprint>) -> Result<()> {
    follower.until(SOON, "what the list says", |view| {
        keys.iter().all(|key| lets_in(view, user, &key.fingerprint) == held.contains(&key.fingerprint))
    })
}

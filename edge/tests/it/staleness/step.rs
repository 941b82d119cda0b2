//! What may happen, as plain data.

use proptest::prelude::{Strategy, any as anything, prop_oneof};

/// Locations.
pub(super) const PLACES: u8 = 3;
/// Users; each has a token.
pub(super) const USERS: u8 = 2;
/// Keys that users have in common, so that they collide.
pub(super) const KEYS: u8 = 3;
/// Workspaces.
pub(super) const WORKSPACES: u8 = 2;

/// A location.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(pub(super) u8);

/// How a location reaches the Ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Up,
    /// Calls do not arrive.
    Down,
    /// Calls arrive and are carried out; answers do not come back.
    Deaf,
}

/// A request to the API.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    AddKey { user: u8, key: u8 },
    RemoveKey { user: u8, key: u8 },
    ListKeys { user: u8 },
    PutWorkspace { workspace: u8 },
    DeleteWorkspace { workspace: u8 },
    PutMember { workspace: u8, user: u8 },
    DeleteMember { workspace: u8, user: u8 },
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A request at a location.
    Ask(Place, Ask),
    /// A location's way to the Ledger changes.
    Link(Place, Link),
    /// A location's cache of KV is dropped.
    Forget(Place),
    /// The daemon asks a location for the manifest.
    Fetch(Place),
    /// The daemon takes any manifest that was ever published, its shards from a location.
    Take(Place, usize),
    /// A pass of the journal to KV begins, however soon after the last: a new instance knows of none.
    Pass,
    /// The pass makes the `nth` of the writes that it may make now.
    Write { nth: usize, fails: bool, lands: bool },
    /// The pass makes all the writes that are left.
    Finish,
    /// The pass is forgotten in the middle.
    Cut,
    /// The Ledger's alarm.
    Tick,
    /// Seconds pass.
    Wait(u64),
}

/// Any step; asking is what happens most.
pub(super) fn any() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (place(), ask()).prop_map(|(place, ask)| Step::Ask(place, ask)),
        4 => (place(), link()).prop_map(|(place, link)| Step::Link(place, link)),
        2 => place().prop_map(Step::Forget),
        4 => place().prop_map(Step::Fetch),
        6 => (place(), 0..64_usize).prop_map(|(place, nth)| Step::Take(place, nth)),
        5 => proptest::prelude::Just(Step::Pass),
        8 => (0..8_usize, rarely(), anything::<bool>()).prop_map(|(nth, fails, lands)| Step::Write { nth, fails, lands }),
        4 => proptest::prelude::Just(Step::Finish),
        1 => proptest::prelude::Just(Step::Cut),
        2 => proptest::prelude::Just(Step::Tick),
        5 => proptest::sample::select(vec![1, 1, 2, 5, 30, 61, 400, 1000]).prop_map(Step::Wait),
    ]
}

fn place() -> impl Strategy<Value = Place> {
    (0..PLACES).prop_map(Place)
}

fn link() -> impl Strategy<Value = Link> {
    proptest::sample::select(vec![Link::Up, Link::Up, Link::Down, Link::Deaf])
}

fn rarely() -> impl Strategy<Value = bool> {
    proptest::bool::weighted(0.2)
}

fn ask() -> impl Strategy<Value = Ask> {
    let (user, key, workspace) = (0..USERS, 0..KEYS, 0..WORKSPACES);
    prop_oneof![
        4 => (user.clone(), key.clone()).prop_map(|(user, key)| Ask::AddKey { user, key }),
        3 => (user.clone(), key).prop_map(|(user, key)| Ask::RemoveKey { user, key }),
        4 => user.clone().prop_map(|user| Ask::ListKeys { user }),
        2 => workspace.clone().prop_map(|workspace| Ask::PutWorkspace { workspace }),
        1 => workspace.clone().prop_map(|workspace| Ask::DeleteWorkspace { workspace }),
        2 => (workspace.clone(), user.clone()).prop_map(|(workspace, user)| Ask::PutMember { workspace, user }),
        2 => (workspace, user).prop_map(|(workspace, user)| Ask::DeleteMember { workspace, user }),
    ]
}

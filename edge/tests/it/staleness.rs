//! Three locations over one Ledger and a KV that is as stale as Workers KV may be: any interleaving converges.
//!
//! A history is a list of [`Step`]s, plain data, so that a broken promise shrinks to the few steps that break it.

mod follower;
mod history;
mod kv;
mod location;
mod model;
mod pass;
mod settling;
mod step;

use history::History;
use proptest::{collection::vec, prelude::ProptestConfig, proptest};
use step::{Ask, Link, Place, Step};

/// Steps in one history: long enough for a shard to be replaced, swept and missed.
const STEPS: usize = 100;
/// Histories a run: a few seconds. `PROPTEST_CASES` asks for more.
const HISTORIES: u32 = 200;

fn config() -> ProptestConfig {
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { ProptestConfig::default().cases } else { HISTORIES };
    // What fails is printed as steps: it becomes a test of its own below.
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 20_000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_interleaving_from_three_locations_converges(steps in vec(step::any(), 1..STEPS)) {
        live(&steps);
    }
}

/// Lives through `steps`, each checked, and then must come to rest.
fn live(steps: &[Step]) {
    let mut history = History::begin();
    steps.iter().for_each(|step| history.step(step));
    history.settle();
}

const KEY: Ask = Ask::AddKey { user: 0, key: 0 };

#[test]
fn a_write_whose_answer_was_lost_is_done_and_may_be_asked_again() {
    live(&[
        Step::Link(Place(0), Link::Deaf),
        Step::Ask(Place(0), KEY),
        Step::Link(Place(0), Link::Up),
        Step::Ask(Place(0), KEY),
        Step::Ask(Place(1), Ask::ListKeys { user: 0 }),
    ]);
}

#[test]
fn a_write_that_did_not_arrive_left_nothing() {
    live(&[
        Step::Link(Place(0), Link::Down),
        Step::Ask(Place(0), KEY),
        Step::Ask(Place(0), Ask::ListKeys { user: 0 }),
        Step::Ask(Place(2), Ask::ListKeys { user: 0 }),
        Step::Ask(Place(2), KEY),
    ]);
}

/// Found by the property above: the new manifest was answered, and not pushed.
#[test]
fn a_manifest_that_a_reader_causes_goes_to_all() {
    live(&[Step::Fetch(Place(0)), Step::Wait(400), Step::Fetch(Place(1))]);
}

/// KV takes the write and says that it did not; then the row is gone before the pass is tried again.
#[test]
fn a_failed_write_that_landed_is_undone_with_its_row() {
    live(&[
        Step::Ask(Place(0), KEY),
        Step::Pass,
        Step::Write { nth: 0, fails: true, lands: true },
        Step::Ask(Place(1), Ask::RemoveKey { user: 0, key: 0 }),
        Step::Wait(2),
        Step::Pass,
        Step::Write { nth: 0, fails: true, lands: true },
    ]);
}

#[test]
fn a_location_that_saw_nothing_there_goes_on_seeing_nothing_for_a_while() {
    live(&[
        Step::Link(Place(1), Link::Down),
        Step::Ask(Place(1), Ask::ListKeys { user: 0 }),
        Step::Ask(Place(0), KEY),
        Step::Pass,
        Step::Finish,
        Step::Ask(Place(1), Ask::ListKeys { user: 0 }),
        Step::Wait(61),
        Step::Ask(Place(1), Ask::ListKeys { user: 0 }),
    ]);
}

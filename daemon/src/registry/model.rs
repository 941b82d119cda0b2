//! The registry against a plain list, under any order of arrivals and departures.

use super::*;
use crate::limits::MAX_PARTING_PER_WORKSPACE;
use proptest::prelude::*;

/// What happens to a registry.
#[derive(Clone, Debug)]
enum Event {
    /// A tunnel comes.
    Comes { workspace: usize, process: u8, accepts: bool },
    /// One of those that ever came is left by its agent, and serves what runs.
    Parts(prop::sample::Index),
    /// One of those that ever came takes nothing new any more.
    Retires(prop::sample::Index),
    /// One of those that ever came ends: it failed, was left, or was evicted before.
    Ends(prop::sample::Index),
}

/// One line of the list; its number is its tunnel's name too.
#[derive(Clone, Debug)]
struct Listed {
    number: usize,
    workspace: usize,
    process: u8,
    accepts: bool,
}

/// Tunnels in the order of their arrival, and those that part in the order in which they were left.
#[derive(Debug, Default)]
struct List(Vec<Listed>, Vec<Listed>);

fn names() -> [WorkspaceId; 3] {
    ["796636", "lighthouse", "third"].map(|name| name.parse().unwrap())
}

fn event() -> impl Strategy<Value = Event> {
    let comes = (0..3_usize, 0..3_u8, any::<bool>());
    prop_oneof![
        3 => comes.prop_map(|(workspace, process, accepts)| Event::Comes { workspace, process, accepts }),
        1 => any::<prop::sample::Index>().prop_map(Event::Parts),
        1 => any::<prop::sample::Index>().prop_map(Event::Retires),
        2 => any::<prop::sample::Index>().prop_map(Event::Ends),
    ]
}

impl List {
    fn of(&self, workspace: usize) -> impl DoubleEndedIterator<Item = &Listed> {
        self.0.iter().filter(move |listed| listed.workspace == workspace)
    }

    /// Returns who had to part, and who had to end for that.
    fn comes(&mut self, listed: Listed) -> (Option<usize>, Option<usize>) {
        let workspace = listed.workspace;
        self.0.push(listed);
        let oldest = self.of(workspace).next().map(|listed| listed.number);
        let evicted = oldest.filter(|_| self.of(workspace).count() > MAX_TUNNELS_PER_WORKSPACE);
        (evicted, evicted.and_then(|number| self.parts(number)))
    }

    /// Returns who had to end.
    fn parts(&mut self, number: usize) -> Option<usize> {
        let at = self.0.iter().position(|listed| listed.number == number)?;
        let listed = self.0.remove(at);
        let workspace = listed.workspace;
        self.1.push(listed);
        let mut parting = self.1.iter().filter(|listed| listed.workspace == workspace);
        let first = parting.next()?.number;
        (parting.count() >= MAX_PARTING_PER_WORKSPACE).then(|| {
            self.ends(first);
            first
        })
    }

    fn retires(&mut self, number: usize) {
        self.0.iter_mut().filter(|listed| listed.number == number).for_each(|listed| listed.accepts = false);
    }

    fn ends(&mut self, number: usize) {
        self.0.retain(|listed| listed.number != number);
        self.1.retain(|listed| listed.number != number);
    }

    /// The registry says of every workspace and process what the list says.
    fn agrees(&self, registry: &Registry<usize>) {
        for (workspace, name) in names().iter().enumerate() {
            let active = self.of(workspace).rev().find(|listed| listed.accepts).map(|listed| listed.number);
            assert_eq!(registry.active(name), active);
            assert_eq!(registry.of(name), self.of(workspace).map(|listed| listed.number).collect::<Vec<_>>());
            let parting = self.1.iter().filter(|listed| listed.workspace == workspace).map(|listed| listed.number);
            assert_eq!(registry.parting_of(name), parting.collect::<Vec<_>>());
            for process in 0..3 {
                let own = self.of(workspace).rev().filter(|listed| listed.process == process).map(|listed| listed.number);
                assert_eq!(registry.of_process(name, Instance([process; 16])), own.collect::<Vec<_>>());
            }
        }
        let mut all: Vec<_> = registry.all().into_iter().map(|(_, number)| number).collect();
        all.sort_unstable();
        assert_eq!(all, self.0.iter().map(|listed| listed.number).collect::<Vec<_>>());
        assert_eq!(registry.parting().len(), self.1.len());
    }
}

proptest! {
    #[test]
    fn it_is_what_a_plain_list_is(events in prop::collection::vec(event(), 1..120)) {
        let (registry, mut list, mut places) = (Registry::default(), List::default(), Vec::new());
        for event in events {
            match event {
                Event::Comes { workspace, process, accepts } => {
                    let number = places.len();
                    let seat = Seat { workspace: names()[workspace].clone(), instance: Instance([process; 16]), accepts, alone: false };
                    let registered = registry.register(seat, number);
                    let (evicted, displaced) = list.comes(Listed { number, workspace, process, accepts });
                    prop_assert_eq!(registered.evicted, evicted.into_iter().collect::<Vec<_>>());
                    prop_assert_eq!(registered.displaced, displaced.into_iter().collect::<Vec<_>>());
                    prop_assert_eq!(registered.registration.generation(), number as u64 + 1);
                    places.push(Some(registered.registration));
                }
                Event::Ends(which) if !places.is_empty() => {
                    let number = which.index(places.len());
                    drop(places[number].take());
                    list.ends(number);
                }
                Event::Parts(which) if !places.is_empty() => {
                    let number = which.index(places.len());
                    let displaced = places[number].as_ref().and_then(Registration::part);
                    prop_assert_eq!(displaced, places[number].as_ref().and_then(|_| list.parts(number)));
                }
                Event::Retires(which) if !places.is_empty() => {
                    let number = which.index(places.len());
                    places[number].iter().for_each(Registration::retire);
                    list.retires(number);
                }
                Event::Ends(_) | Event::Parts(_) | Event::Retires(_) => {}
            }
            list.agrees(&registry);
            prop_assert_eq!(registry.tunnels(), places.iter().flatten().count(), "each counts until its place is given up");
        }
        drop(places);
        List::default().agrees(&registry);
        prop_assert_eq!(registry.tunnels(), 0);
    }
}

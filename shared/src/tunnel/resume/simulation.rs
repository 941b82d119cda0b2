//! Two ends in a box: legs that stall, are cut at any byte and replaced, under any interleaving; bytes arrive once and in
//! order, and ends exactly once.

use super::{
    WINDOW,
    strand::{Read, Strand},
};
use bytes::{Bytes, BytesMut};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

/// Turns in which anything may happen; after them every leg holds.
const CHAOS: usize = 600;
/// Turns in which all must be over then.
const CALM: usize = 20_000;

/// How an application ends its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    /// Writes all and finishes.
    Finish,
    /// Breaks off somewhere.
    Break,
}

/// One end with its application.
struct Side {
    strand: Strand,
    says: Vec<u8>,
    said: usize,
    plan: Plan,
    /// Stops reading after this many bytes.
    patience: usize,
    heard: Vec<u8>,
    end: Option<Read>,
    deaf: bool,
    /// What a leg brought, and what is on it towards this side.
    wire: BytesMut,
    coming: Vec<u8>,
    /// Its table knows it no more.
    forgotten: bool,
}

impl Side {
    fn by_chance(chance: &mut SmallRng) -> Self {
        let length = [0, 1, 100, 5_000, 300_000][chance.random_range(0..5)];
        let length = chance.random_range(0..=length);
        Self {
            strand: Strand::default(),
            says: (0..length).map(|_| chance.random()).collect(),
            said: 0,
            plan: if chance.random_bool(0.8) { Plan::Finish } else { Plan::Break },
            patience: if chance.random_bool(0.8) { usize::MAX } else { chance.random_range(0..5_000) },
            heard: Vec::new(),
            end: None,
            deaf: false,
            wire: BytesMut::new(),
            coming: Vec::new(),
            forgotten: false,
        }
    }

    fn write(&mut self, chance: &mut SmallRng) {
        let most = [40, 4_000, 100_000][chance.random_range(0..3)];
        let part = chance.random_range(0..=most).min(self.says.len() - self.said).min(self.strand.room());
        let bytes = &self.says[self.said..self.said + part];
        if self.strand.is_closed() {
            return;
        }
        if chance.random() {
            self.strand.append(bytes);
        } else {
            self.strand.push(Bytes::copy_from_slice(bytes));
        }
        self.said += part;
        match self.plan {
            Plan::Finish if self.said == self.says.len() => self.strand.finish(),
            Plan::Break if chance.random_bool(0.05) || self.said == self.says.len() => self.strand.reset(),
            _ => {}
        }
    }

    fn read(&mut self, chance: &mut SmallRng) {
        if self.heard.len() >= self.patience && self.end.is_none() {
            self.deaf = true;
            return self.strand.discard();
        }
        let most = chance.random_range(1..100_000);
        let read = if chance.random() {
            self.strand.read(most)
        } else {
            let mut room = vec![0; most];
            self.strand.read_into(&mut room).map_or_else(|nothing| nothing, |n| Read::Bytes(room[..n].to_vec().into()))
        };
        match (read, &self.end) {
            (Read::Bytes(bytes), None) => self.heard.extend_from_slice(&bytes),
            (Read::Nothing, None) => {}
            (end @ (Read::End | Read::Broken), None) => self.end = Some(end),
            (again, Some(end)) => assert_eq!(&again, end, "an end comes once, and nothing after it"),
        }
    }

    fn receive(&mut self, chance: &mut SmallRng) {
        let part = chance.random_range(0..=self.coming.len());
        self.wire.extend_from_slice(&self.coming[..part]);
        self.coming.drain(..part);
        self.strand.receive(&mut self.wire).unwrap();
        assert!(self.strand.unread() <= WINDOW && self.strand.unconfirmed() <= WINDOW);
    }

    /// Both applications are served: what was read is what was written, as far as both wanted.
    fn check(&self, other: &Self) {
        assert!(other.says.starts_with(&self.heard), "other bytes, or in another order");
        match (&self.end, other.plan) {
            _ if self.deaf => {}
            (Some(Read::End), Plan::Finish) => assert_eq!(self.heard, other.says),
            // Whoever is told to stop breaks off, whatever it had planned.
            (Some(Read::Broken), _) => {}
            other => panic!("an end that was not: {other:?}"),
        }
    }
}

fn transmit(from: &mut Side, to: &mut Side) {
    let mut wire = Vec::new();
    from.strand.transmit(&mut wire);
    assert!(!from.strand.is_due() || !wire.is_empty());
    wire.iter().for_each(|bytes| to.coming.extend_from_slice(bytes));
}

/// All that is on the way is lost. Whoever was over has forgotten the strand, and says so.
fn replace_leg(near: &mut Side, far: &mut Side) {
    for side in [&mut *near, &mut *far] {
        side.coming.clear();
        side.wire.clear();
        side.forgotten |= side.strand.is_over();
    }
    if near.forgotten || far.forgotten {
        assert!(near.strand.is_complete() && far.strand.is_complete(), "gone, and something was missing");
        (near.forgotten, far.forgotten) = (true, true);
        return;
    }
    near.strand.attach(far.strand.received()).unwrap();
    far.strand.attach(near.strand.received()).unwrap();
}

fn turn(near: &mut Side, far: &mut Side, chance: &mut SmallRng) {
    let (one, other) = if chance.random() { (near, far) } else { (far, near) };
    match chance.random_range(0..4) {
        0 => one.write(chance),
        1 => one.read(chance),
        2 if !one.forgotten => transmit(one, other),
        _ => one.receive(chance),
    }
}

fn run(seed: u64) {
    let chance = &mut SmallRng::seed_from_u64(seed);
    let (mut near, mut far) = (Side::by_chance(chance), Side::by_chance(chance));
    let cuts = [0.0, 0.01, 0.2][chance.random_range(0..3)];
    for _ in 0..CHAOS {
        turn(&mut near, &mut far, chance);
        if chance.random_bool(cuts) {
            replace_leg(&mut near, &mut far);
        }
    }
    let settled = |side: &Side| side.end.is_some() || side.deaf;
    let mut turns = 0;
    while !(settled(&near) && settled(&far) && near.strand.is_complete() && far.strand.is_complete()) {
        turn(&mut near, &mut far, chance);
        turns += 1;
        assert!(turns < CALM, "it does not end: {:?}, {:?}", near.strand, far.strand);
    }
    near.check(&far);
    far.check(&near);
}

#[test]
fn bytes_arrive_once_and_in_order_over_any_legs() {
    (0..1_500).for_each(run);
}

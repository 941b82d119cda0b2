//! One end of a strand, without I/O: bytes in from the application and out to a leg, and back, over any number of legs.

use super::{
    Violation,
    incoming::Incoming,
    outgoing::{End, Outgoing},
    record::Record,
};
use bytes::{Bytes, BytesMut};

/// One end of a strand. Both ends are alike.
#[derive(Debug, Default)]
pub struct Strand {
    outgoing: Outgoing,
    incoming: Incoming,
    /// Bytes of the current Data record that have not come yet.
    expected: usize,
}

/// What the application reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// The next bytes.
    Bytes(Bytes),
    /// The orderly end.
    End,
    /// The other side broke off.
    Broken,
    /// Nothing yet.
    Nothing,
}

impl Strand {
    /// Bytes that may be written now.
    pub const fn room(&self) -> usize {
        self.outgoing.room()
    }

    /// Whether writing makes no sense any more: ended by us, or the other side takes no more.
    pub const fn is_closed(&self) -> bool {
        !self.outgoing.is_open()
    }

    /// Whether the other side takes no more.
    pub const fn is_unwanted(&self) -> bool {
        self.outgoing.is_unwanted()
    }

    /// Writes `bytes`, uncopied unless they are few. The caller keeps to [`Self::room`].
    pub fn push(&mut self, bytes: Bytes) {
        self.outgoing.push(bytes);
    }

    /// Writes a copy of `bytes`. The caller keeps to [`Self::room`].
    pub fn append(&mut self, bytes: &[u8]) {
        self.outgoing.append(bytes);
    }

    /// No more will be written.
    pub fn finish(&mut self) {
        self.outgoing.finish();
    }

    /// No more will be written, and what was is not whole. Nothing after [`Self::finish`] once that is on its way.
    pub fn reset(&mut self) {
        self.outgoing.reset();
    }

    /// Nothing more will be read.
    pub fn discard(&mut self) {
        self.incoming.discard();
    }

    /// The next bytes, uncopied, at most `most`.
    pub fn read(&mut self, most: usize) -> Read {
        match self.incoming.take(most) {
            Some(bytes) => Read::Bytes(bytes),
            None => self.nothing(),
        }
    }

    /// Copies what there is into `room`, or says why there is nothing. Returns how much was copied.
    pub fn read_into(&mut self, room: &mut [u8]) -> Result<usize, Read> {
        match self.incoming.copy(room) {
            0 => Err(self.nothing()),
            copied => Ok(copied),
        }
    }

    const fn nothing(&self) -> Read {
        match self.incoming.end() {
            None => Read::Nothing,
            Some(End::Fin) => Read::End,
            Some(End::Reset) => Read::Broken,
        }
    }

    /// Whether reading says anything else than [`Read::Nothing`].
    pub const fn is_readable(&self) -> bool {
        self.incoming.is_readable()
    }

    /// Bytes that wait for the application to read them.
    pub const fn unread(&self) -> usize {
        self.incoming.held()
    }

    /// Bytes that are kept until the other side has taken them.
    pub const fn unconfirmed(&self) -> usize {
        self.outgoing.held()
    }

    /// Whether the other side keeps bytes that were taken here, since it was not told.
    pub const fn is_owing(&self) -> bool {
        self.incoming.is_owing()
    }

    /// Has the other side told, however little it is: nothing more seems to come.
    pub fn settle_up(&mut self) {
        self.incoming.settle_up();
    }

    /// The position from which the next leg is to send: what a Resume or a Resumed says.
    pub const fn received(&self) -> u64 {
        self.incoming.received()
    }

    /// Begins the next leg: the other side has received all before `position`. Nothing of the leg before is fed to this
    /// strand any more.
    pub fn attach(&mut self, position: u64) -> Result<(), Violation> {
        self.expected = 0;
        self.incoming.restart();
        self.outgoing.rewind(position)
    }

    /// Takes in what a leg brought; a record's head that is cut short stays in `wire`.
    pub fn receive(&mut self, wire: &mut BytesMut) -> Result<(), Violation> {
        while !wire.is_empty() {
            if self.expected > 0 {
                let part = wire.len().min(self.expected);
                self.expected -= part;
                self.incoming.data(wire.split_to(part))?;
            } else {
                match Record::decode(wire)? {
                    Some(record) => self.record(record)?,
                    None => break,
                }
            }
        }
        Ok(())
    }

    fn record(&mut self, record: Record) -> Result<(), Violation> {
        match record {
            Record::Data(length) => {
                self.expected = length;
                self.incoming.announced();
                Ok(())
            }
            Record::Taken(position) => self.outgoing.taken(position),
            Record::Fin(position) => self.incoming.fin(position),
            Record::Reset(position) => self.incoming.reset(position),
            Record::Stop => {
                self.outgoing.stop();
                Ok(())
            }
        }
    }

    /// Whether [`Self::transmit`] has something to send.
    pub fn is_due(&self) -> bool {
        self.incoming.is_taken_due() || self.incoming.is_stop_due() || self.outgoing.is_due()
    }

    /// Puts what is to be sent next on `wire`: confirmations first, then at most [`super::BATCH`] bytes of data. All of it
    /// is sent, in this order, or the leg has broken.
    pub fn transmit(&mut self, wire: &mut Vec<Bytes>) {
        let mut head = BytesMut::new();
        if self.incoming.is_taken_due() {
            Record::Taken(self.incoming.tell_taken()).encode(&mut head);
        }
        if self.incoming.is_stop_due() {
            self.incoming.stop_sent();
            Record::Stop.encode(&mut head);
        }
        let last = self.outgoing.transmit(head, wire);
        if !last.is_empty() {
            wire.push(last.freeze());
        }
    }

    /// Whether both ends are confirmed, and the leg may end.
    pub const fn is_over(&self) -> bool {
        self.outgoing.is_confirmed() && self.incoming.is_confirmed()
    }

    /// Whether only confirmations may be missing: a side that is told that the other is gone loses nothing then.
    pub const fn is_complete(&self) -> bool {
        self.incoming.end().is_some() && self.outgoing.is_sent()
    }

    /// Whether nothing was ever heard of the other side.
    pub const fn is_unheard(&self) -> bool {
        self.incoming.received() == 0 && !self.outgoing.is_heard()
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::MAX_HEAD;
    use super::super::{BATCH, GATHER, MAX_RECORD, SMALL, TAKEN_EVERY, TAKEN_EVERY_RECORDS, WINDOW};
    use super::*;

    fn sent(strand: &mut Strand) -> BytesMut {
        let mut wire = Vec::new();
        strand.transmit(&mut wire);
        wire.concat()[..].into()
    }

    fn told(strand: &mut Strand, records: &[Record]) -> Result<(), Violation> {
        let mut wire = BytesMut::new();
        records.iter().for_each(|record| record.encode(&mut wire));
        strand.receive(&mut wire)
    }

    fn written(bytes: &'static [u8]) -> Strand {
        let mut strand = Strand::default();
        strand.push(Bytes::from_static(bytes));
        strand
    }

    #[test]
    fn a_leg_has_these_bytes() {
        let mut near = written(b"hello");
        near.finish();
        let mut wire = sent(&mut near);
        assert_eq!(wire, &b"\x01\0\0\0\x05hello\x03\0\0\0\0\0\0\0\x05"[..]);
        let mut far = Strand::default();
        far.receive(&mut wire).unwrap();
        assert!(!far.is_due(), "what waits for the application is not taken");
        assert_eq!(far.read(100), Read::Bytes(Bytes::from_static(b"hello")));
        assert_eq!(far.read(100), Read::End);
        assert_eq!(sent(&mut far), &b"\x02\0\0\0\0\0\0\0\x06"[..]);
        far.reset();
        assert_eq!(sent(&mut far), &b"\x04\0\0\0\0\0\0\0\0"[..]);
    }

    #[test]
    fn a_new_leg_goes_on_at_any_byte() {
        for received in 0..=5 {
            let mut strand = written(b"hello");
            sent(&mut strand);
            strand.attach(received).unwrap();
            strand.finish();
            let data = &b"hello"[received as usize..];
            let head = [&[1, 0, 0, 0, data.len() as u8][..], data].concat();
            let head = if data.is_empty() { vec![] } else { head };
            assert_eq!(sent(&mut strand), [&head[..], b"\x03\0\0\0\0\0\0\0\x05"].concat());
        }
    }

    #[test]
    fn large_pieces_are_neither_copied_nor_split() {
        let piece = Bytes::from(vec![7; BATCH]);
        let mut strand = Strand::default();
        (0..2).for_each(|_| strand.push(piece.clone()));
        let mut wire = Vec::new();
        strand.transmit(&mut wire);
        assert_eq!((wire.len(), wire[1].as_ptr()), (2, piece.as_ptr()));
        assert!(strand.is_due());
        strand.push(Bytes::from(vec![7; MAX_RECORD + 1]));
        let mut far = Strand::default();
        far.receive(&mut wire.concat()[..].into()).unwrap();
        while strand.is_due() {
            far.receive(&mut sent(&mut strand)).unwrap();
        }
        assert_eq!(far.unread(), 2 * BATCH + MAX_RECORD + 1);
    }

    #[test]
    fn small_pieces_are_kept_together() {
        let mut strand = Strand::default();
        for _ in 0..3 * SMALL {
            strand.push(Bytes::from_static(b"x"));
            assert_eq!(sent(&mut strand), &b"\x01\0\0\0\x01x"[..]);
        }
        strand.attach(1).unwrap();
        let mut wire = Vec::new();
        strand.transmit(&mut wire);
        assert!(wire.len() < 5, "{} pieces", wire.len());
        assert_eq!(wire.concat().len(), 5 + 3 * SMALL - 1);
    }

    #[test]
    fn a_window_fills_and_opens_again() {
        let mut near = Strand::default();
        let mut far = Strand::default();
        let piece = Bytes::from(vec![0; BATCH]);
        while near.room() > 0 {
            near.push(piece.clone());
            far.receive(&mut sent(&mut near)).unwrap();
        }
        assert_eq!((near.unconfirmed(), far.unread(), far.is_due()), (WINDOW, WINDOW, false));
        while far.unread() > WINDOW - TAKEN_EVERY as usize {
            assert!(!far.is_due());
            far.read(1 << 14);
        }
        near.receive(&mut sent(&mut far)).unwrap();
        assert_eq!(near.room(), TAKEN_EVERY as usize);
    }

    #[test]
    fn many_small_records_are_confirmed_too() {
        let mut far = Strand::default();
        for n in 0..TAKEN_EVERY_RECORDS {
            assert!(!far.is_due(), "{n}");
            far.receive(&mut b"\x01\0\0\0\x01x"[..].into()).unwrap();
            far.read(1);
        }
        assert!(far.is_due());
    }

    #[test]
    fn little_is_confirmed_when_nothing_more_comes() {
        let (mut near, mut far) = (written(b"a key"), Strand::default());
        far.receive(&mut sent(&mut near)).unwrap();
        far.settle_up();
        assert!(!far.is_owing() && !far.is_due(), "nobody has taken it");
        far.read(2);
        assert!(far.is_owing() && !far.is_due());
        far.settle_up();
        near.receive(&mut sent(&mut far)).unwrap();
        assert_eq!((near.unconfirmed(), far.is_owing(), far.is_due()), (3, false, false));
        near.push(Bytes::from_static(b" and more"));
        assert_eq!(sent(&mut near), &b"\x01\0\0\0\x09 and more"[..]);
    }

    #[test]
    fn whoever_is_told_to_stop_breaks_off_until_it_is_confirmed() {
        let (mut near, mut far) = (written(b"wanted by nobody"), Strand::default());
        far.discard();
        assert_eq!(sent(&mut far), &b"\x05"[..]);
        // Lost with its leg.
        far.attach(0).unwrap();
        near.receive(&mut sent(&mut far)).unwrap();
        assert!(near.is_unwanted() && near.is_closed());
        let mut wire = sent(&mut near);
        assert_eq!(wire, &b"\x04\0\0\0\0\0\0\0\x10"[..]);
        far.receive(&mut wire).unwrap();
        near.receive(&mut sent(&mut far)).unwrap();
        assert!(!far.is_due() && near.is_complete() == near.incoming.end().is_some());
    }

    #[test]
    fn a_break_replaces_an_end_that_is_not_on_its_way() {
        let mut strand = written(b"half");
        strand.finish();
        strand.reset();
        assert_eq!(sent(&mut strand), &b"\x04\0\0\0\0\0\0\0\x04"[..]);
        let mut strand = written(b"whole");
        strand.finish();
        let first = sent(&mut strand);
        strand.reset();
        strand.attach(0).unwrap();
        assert_eq!(sent(&mut strand), first, "an end that may have arrived stays one");
    }

    #[test]
    fn liars_are_found_out() {
        let strand = &mut written(b"hello");
        assert_eq!(told(strand, &[Record::Taken(1)]), Err(Violation::Unsent(1)), "nothing was sent yet");
        sent(strand);
        assert_eq!(told(strand, &[Record::Taken(6)]), Err(Violation::Unsent(6)), "there was no end");
        assert_eq!(strand.attach(6), Err(Violation::Unsent(6)));
        told(strand, &[Record::Taken(3)]).unwrap();
        assert_eq!(told(strand, &[Record::Taken(2)]), Err(Violation::Rewound(2)));
        assert_eq!(strand.attach(2), Err(Violation::Rewound(2)));
        assert_eq!(told(strand, &[Record::Fin(1)]), Err(Violation::Misplaced(1)));
        told(strand, &[Record::Fin(0)]).unwrap();
        assert_eq!(told(strand, &[Record::Fin(0)]), Err(Violation::AfterEnd));
        assert_eq!(told(strand, &[Record::Reset(1)]), Err(Violation::AfterEnd));
        assert_eq!(strand.receive(&mut b"\x01\0\0\0\x01x"[..].into()), Err(Violation::AfterEnd));
    }

    #[test]
    fn a_flood_is_refused() {
        let mut far = Strand::default();
        let piece = [&b"\x01\0\x04\0\0"[..], &[0; BATCH]].concat();
        for _ in 0..WINDOW / BATCH {
            far.receive(&mut piece[..].into()).unwrap();
        }
        assert_eq!(far.receive(&mut b"\x01\0\0\0\x01x"[..].into()), Err(Violation::Flood));
        assert_eq!(told(&mut Strand::default(), &[Record::Reset(WINDOW as u64 + 1)]), Err(Violation::Flood));
    }

    #[test]
    fn what_waits_pins_little_more_than_itself() {
        const READ: usize = 128 << 10;
        let (mut strand, mut reads) = (Strand::default(), Vec::new());
        for _ in 0..256 {
            let mut wire = BytesMut::with_capacity(READ);
            wire.extend_from_slice(&[0]);
            Record::Data(GATHER).encode(&mut wire);
            wire.resize(wire.len() + GATHER, 0);
            while wire.len() + MAX_HEAD <= READ {
                Record::Taken(0).encode(&mut wire);
            }
            // As long as its first byte is held, nothing else gets its place.
            reads.push((wire.as_ptr_range(), wire.split_to(1)));
            strand.receive(&mut wire).unwrap();
        }
        let (unread, mut pinned) = (strand.unread(), 0);
        while let Read::Bytes(piece) = strand.read(WINDOW) {
            let is_part = reads.iter().any(|(read, _)| read.contains(&piece.as_ptr()));
            pinned += if is_part { READ } else { piece.len() };
        }
        assert!(pinned < 2 * unread, "{} KiB pin {}", unread >> 10, pinned >> 10);
    }

    #[test]
    fn a_side_knows_whether_it_was_ever_heard() {
        let (mut near, mut far) = (written(b"x"), Strand::default());
        far.receive(&mut sent(&mut near)).unwrap();
        assert!(near.is_unheard());
        far.push(Bytes::from_static(b"y"));
        near.receive(&mut sent(&mut far)).unwrap();
        assert!(!near.is_unheard());
    }
}

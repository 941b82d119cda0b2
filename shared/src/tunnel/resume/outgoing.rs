//! The sending direction of a strand: keeps what the other side has not taken, and knows what to send next.

use super::{BATCH, GATHER, SMALL, Violation, WINDOW, record::Record};
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;

/// Positions: `taken <= base <= cursor <= pushed`; only a confirmed end makes `taken` one more than `pushed`.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// From `base` on, in order; behind them `tail`, which still grows.
    held: VecDeque<Bytes>,
    tail: BytesMut,
    base: u64,
    pushed: u64,
    /// What goes next on this leg, and where that is: a piece (`held.len()` is the tail), and an offset in it.
    cursor: u64,
    index: usize,
    offset: usize,
    /// Behind the last position that was ever sent, the end's included.
    reached: u64,
    taken: u64,
    end: Option<End>,
    end_sent: bool,
    unwanted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Fin,
    Reset,
}

impl Outgoing {
    /// Bytes that may be pushed before the window is full.
    pub(super) const fn room(&self) -> usize {
        WINDOW.saturating_sub(self.pushed.saturating_sub(self.taken) as usize)
    }

    /// Bytes that are kept.
    pub(super) const fn held(&self) -> usize {
        (self.pushed - self.base) as usize
    }

    /// Whether anything more may be pushed at all.
    pub(super) const fn is_open(&self) -> bool {
        self.end.is_none()
    }

    /// Whether the other side takes no more.
    pub(super) const fn is_unwanted(&self) -> bool {
        self.unwanted
    }

    /// Takes `bytes` uncopied, unless they are few.
    pub(super) fn push(&mut self, mut bytes: Bytes) {
        if bytes.len() < SMALL || !self.is_open() {
            return self.append(&bytes);
        }
        self.seal();
        self.pushed += bytes.len() as u64;
        while bytes.len() > BATCH {
            self.held.push_back(bytes.split_to(BATCH));
        }
        self.held.push_back(bytes);
    }

    /// Takes a copy of `bytes`.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        if !self.is_open() {
            return;
        }
        for piece in bytes.chunks(BATCH) {
            if self.tail.capacity() - self.tail.len() < piece.len() {
                self.seal();
                self.tail = BytesMut::with_capacity(piece.len().max(GATHER));
            }
            self.tail.extend_from_slice(piece);
        }
        self.pushed += bytes.len() as u64;
    }

    /// No more small pieces join the last one.
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.held.push_back(self.tail.split().freeze());
        }
    }

    /// Ends this direction in order.
    pub(super) fn finish(&mut self) {
        self.end.get_or_insert(End::Fin);
    }

    /// Breaks it off, unless its orderly end is on the way: what was not sent never will be.
    pub(super) fn reset(&mut self) {
        if self.reached > self.pushed || self.end == Some(End::Reset) {
            return;
        }
        self.end = Some(End::Reset);
        self.held.clear();
        self.tail.clear();
        (self.base, self.cursor, self.index, self.offset) = (self.pushed, self.pushed, 0, 0);
    }

    /// The other side takes no more.
    pub(super) fn stop(&mut self) {
        self.unwanted = true;
        self.reset();
    }

    /// The other side's application has taken all before `position`.
    pub(super) fn taken(&mut self, position: u64) -> Result<(), Violation> {
        self.check(position, self.taken)?;
        self.taken = position;
        self.forget(position);
        Ok(())
    }

    /// A new leg begins: the other side has received all before `position`.
    pub(super) fn rewind(&mut self, position: u64) -> Result<(), Violation> {
        let broken = self.end == Some(End::Reset);
        self.check(position, if broken { self.taken } else { self.base })?;
        self.forget(position);
        (self.cursor, self.index, self.offset) = (self.base, 0, 0);
        self.end_sent = position > self.pushed;
        Ok(())
    }

    const fn check(&self, position: u64, least: u64) -> Result<(), Violation> {
        if position > self.reached {
            Err(Violation::Unsent(position))
        } else if position < least {
            Err(Violation::Rewound(position))
        } else {
            Ok(())
        }
    }

    fn forget(&mut self, position: u64) {
        while let Some(first) = self.held.front_mut().filter(|_| self.base < position) {
            let part = (first.len() as u64).min(position - self.base);
            first.advance(part as usize);
            let emptied = first.is_empty();
            self.forgot(part);
            if emptied {
                self.held.pop_front();
                self.index = self.index.saturating_sub(1);
            }
        }
        let part = (self.tail.len() as u64).min(position.saturating_sub(self.base));
        self.tail.advance(part as usize);
        self.forgot(part);
        if self.held() == 0 {
            (self.held, self.tail) = (VecDeque::new(), BytesMut::new());
        }
    }

    fn forgot(&mut self, part: u64) {
        self.base += part;
        self.cursor = self.cursor.max(self.base);
        if self.index == 0 {
            self.offset = self.offset.saturating_sub(part as usize);
        }
    }

    /// The other side knows how this direction ended.
    pub(super) const fn is_confirmed(&self) -> bool {
        self.end.is_some() && self.taken > self.pushed
    }

    /// It ended, and the end was on its way at least once.
    pub(super) const fn is_sent(&self) -> bool {
        self.end.is_some() && self.reached > self.pushed
    }

    /// The other side has said that it has anything.
    pub(super) const fn is_heard(&self) -> bool {
        self.base > 0 || self.taken > 0 || self.unwanted
    }

    pub(super) const fn is_due(&self) -> bool {
        self.cursor < self.pushed || (self.end.is_some() && !self.end_sent)
    }

    /// Puts what is to be sent next behind `head` on the `wire`; the last head is returned, open for more.
    pub(super) fn transmit(&mut self, mut head: BytesMut, wire: &mut Vec<Bytes>) -> BytesMut {
        match (self.pushed - self.cursor) as usize {
            0 => {}
            few if few <= SMALL => {
                Record::Data(few).encode(&mut head);
                self.copy_rest(&mut head);
            }
            _ => self.hand_out(&mut head, wire),
        }
        self.reached = self.reached.max(self.cursor);
        if self.cursor == self.pushed {
            self.transmit_end(&mut head);
        }
        head
    }

    fn copy_rest(&mut self, head: &mut BytesMut) {
        let first = self.held.len().min(self.index);
        let pieces = self.held.range(first..).map(|piece| &piece[..]).chain([&self.tail[..]]);
        let mut skip = self.offset;
        for piece in pieces {
            head.extend_from_slice(&piece[skip..]);
            skip = 0;
        }
        (self.cursor, self.index, self.offset) = (self.pushed, self.held.len(), self.tail.len());
    }

    /// Up to a batch of whole pieces, uncopied.
    fn hand_out(&mut self, head: &mut BytesMut, wire: &mut Vec<Bytes>) {
        self.seal();
        let mut batch: Vec<Bytes> = Vec::new();
        let mut length = 0;
        for piece in self.held.range(self.index..) {
            let piece = piece.slice(std::mem::take(&mut self.offset)..);
            if length > 0 && length + piece.len() > BATCH {
                break;
            }
            length += piece.len();
            self.index += 1;
            batch.push(piece);
        }
        self.cursor += length as u64;
        Record::Data(length).encode(head);
        wire.push(head.split().freeze());
        wire.append(&mut batch);
    }

    fn transmit_end(&mut self, head: &mut BytesMut) {
        match self.end {
            Some(End::Fin) if !self.end_sent => Record::Fin(self.pushed).encode(head),
            Some(End::Reset) if !self.end_sent => Record::Reset(self.pushed).encode(head),
            _ => return,
        }
        self.end_sent = true;
        self.reached = self.pushed + 1;
    }
}

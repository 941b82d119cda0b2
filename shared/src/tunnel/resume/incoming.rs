//! The receiving direction of a strand: what has arrived in order, and how far the application has taken it.

use super::{GATHER, LARGE, TAKEN_EVERY, TAKEN_EVERY_RECORDS, Violation, WINDOW, outgoing::End};
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(super) struct Incoming {
    unread: VecDeque<BytesMut>,
    received: u64,
    /// What the application has taken, and what of it the other side was told.
    taken: u64,
    told: u64,
    records: usize,
    /// Told again, whatever was told before: a new leg.
    again: bool,
    end: Option<End>,
    /// The application takes no more.
    discarding: bool,
    stop_sent: bool,
}

impl Incoming {
    /// The position of what comes next.
    pub(super) const fn received(&self) -> u64 {
        self.received
    }

    /// Whether there are bytes, or an end.
    pub(super) const fn is_readable(&self) -> bool {
        self.end.is_some() || self.taken < self.received
    }

    /// Bytes that wait for the application.
    pub(super) const fn held(&self) -> usize {
        (self.received - self.taken) as usize
    }

    pub(super) const fn end(&self) -> Option<End> {
        self.end
    }

    /// Bytes announced by one Data record.
    pub(super) fn announced(&mut self) {
        self.records += 1;
    }

    /// Some of them.
    pub(super) fn data(&mut self, bytes: BytesMut) -> Result<(), Violation> {
        self.advance(bytes.len() as u64)?;
        if self.discarding {
            self.taken = self.received;
        } else {
            self.keep(bytes);
        }
        Ok(())
    }

    fn keep(&mut self, bytes: BytesMut) {
        let uncopied = if self.unread.is_empty() { GATHER } else { LARGE };
        if bytes.len() >= uncopied {
            return self.unread.push_back(bytes);
        }
        match self.unread.back_mut().filter(|last| last.capacity() - last.len() >= bytes.len()) {
            Some(last) => last.extend_from_slice(&bytes),
            None => {
                let mut gathered = BytesMut::with_capacity(bytes.len().max(GATHER));
                gathered.extend_from_slice(&bytes);
                self.unread.push_back(gathered);
            }
        }
    }

    fn advance(&mut self, length: u64) -> Result<(), Violation> {
        if self.end.is_some() {
            return Err(Violation::AfterEnd);
        }
        if self.received + length > self.taken + WINDOW as u64 {
            return Err(Violation::Flood);
        }
        self.received += length;
        Ok(())
    }

    pub(super) fn fin(&mut self, position: u64) -> Result<(), Violation> {
        if self.end.is_none() && position != self.received {
            return Err(Violation::Misplaced(position));
        }
        self.ended(End::Fin)
    }

    /// What waits for the application is lost, as it is with any broken connection.
    pub(super) fn reset(&mut self, position: u64) -> Result<(), Violation> {
        let length = position.checked_sub(self.received).ok_or(Violation::Misplaced(position))?;
        self.advance(length)?;
        self.unread.clear();
        self.taken = self.received;
        self.ended(End::Reset)
    }

    fn ended(&mut self, end: End) -> Result<(), Violation> {
        if self.end.is_some() {
            return Err(Violation::AfterEnd);
        }
        self.end = Some(end);
        self.received += 1;
        self.settle();
        Ok(())
    }

    /// An end is taken with the last byte before it.
    fn settle(&mut self) {
        if self.end.is_some() && self.unread.is_empty() {
            self.taken = self.received;
        }
    }

    /// The next bytes, at most `most`.
    pub(super) fn take(&mut self, most: usize) -> Option<Bytes> {
        let first = self.unread.front_mut()?;
        let bytes = if first.len() > most { first.split_to(most) } else { self.unread.pop_front()? };
        self.taken += bytes.len() as u64;
        self.settle();
        Some(bytes.freeze())
    }

    /// Copies into `room` as much as there is; returns how much.
    pub(super) fn copy(&mut self, mut room: &mut [u8]) -> usize {
        let before = room.len();
        while let Some(first) = self.unread.front_mut().filter(|_| !room.is_empty()) {
            let part = first.len().min(room.len());
            let (now, later) = room.split_at_mut(part);
            first.copy_to_slice(now);
            room = later;
            if first.is_empty() {
                self.unread.pop_front();
            }
        }
        let copied = before - room.len();
        self.taken += copied as u64;
        self.settle();
        copied
    }

    /// The application takes no more.
    pub(super) fn discard(&mut self) {
        self.discarding = true;
        self.unread.clear();
        self.taken = self.received;
    }

    /// A new leg begins.
    pub(super) const fn restart(&mut self) {
        self.stop_sent = false;
        self.again = self.taken > 0;
    }

    /// Whether the other side is to be told to stop.
    pub(super) const fn is_stop_due(&self) -> bool {
        self.discarding && !self.stop_sent && self.end.is_none()
    }

    pub(super) const fn stop_sent(&mut self) {
        self.stop_sent = true;
    }

    /// Whether the other side keeps what was taken.
    pub(super) const fn is_owing(&self) -> bool {
        self.taken > self.told
    }

    /// Nothing more seems to come: it is told now, however little it is.
    pub(super) fn settle_up(&mut self) {
        self.again |= self.is_owing();
        if self.unread.is_empty() {
            self.unread = VecDeque::new();
        }
    }

    pub(super) fn is_taken_due(&self) -> bool {
        let fresh = self.taken - self.told;
        let much = fresh >= TAKEN_EVERY || self.records >= TAKEN_EVERY_RECORDS || self.end.is_some();
        self.again || (fresh > 0 && much)
    }

    /// The position to tell.
    pub(super) const fn tell_taken(&mut self) -> u64 {
        (self.told, self.records, self.again) = (self.taken, 0, false);
        self.taken
    }

    /// It ended, and the other side was told so.
    pub(super) const fn is_confirmed(&self) -> bool {
        self.end.is_some() && self.told == self.received
    }
}

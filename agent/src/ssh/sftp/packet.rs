//! One message on its way out; its length is known last.

/// A message under construction.
#[derive(Debug)]
pub(super) struct Packet(Vec<u8>);

/// Bytes of a message's length.
const LENGTH: usize = 4;

impl Packet {
    /// A message of type `kind`.
    pub(super) fn new(kind: u8) -> Self {
        Self::with_room(kind, 60)
    }

    /// The same with room for `room` bytes behind the type.
    pub(super) fn with_room(kind: u8, room: usize) -> Self {
        let mut bytes = Vec::with_capacity(LENGTH + 1 + room);
        bytes.extend_from_slice(&[0, 0, 0, 0, kind]);
        Self(bytes)
    }

    pub(super) fn u32(&mut self, number: u32) -> &mut Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(super) fn u64(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// Length and bytes.
    pub(super) fn string(&mut self, string: &[u8]) -> &mut Self {
        self.u32(saturated(string.len()));
        self.0.extend_from_slice(string);
        self
    }

    /// A string that `fill` appends to the message.
    pub(super) fn filled<E>(&mut self, fill: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<&mut Self, E> {
        let at = self.0.len();
        self.u32(0);
        fill(&mut self.0)?;
        self.overwrite(at, saturated(self.0.len() - at - 4));
        Ok(self)
    }

    /// Puts `number` where a number was written before.
    pub(super) fn overwrite(&mut self, at: usize, number: u32) {
        if let Some(place) = self.0.get_mut(at..at + 4) {
            place.copy_from_slice(&number.to_be_bytes());
        }
    }

    /// Bytes so far, the length's own included.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The bytes to be sent.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.overwrite(0, saturated(self.0.len() - LENGTH));
        self.0
    }
}

/// No message comes near the limit of its length.
fn saturated(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_knows_its_length() {
        let mut packet = Packet::new(101);
        packet.u32(7).string(b"ab").u64(1);
        assert_eq!(packet.finish(), b"\0\0\0\x13\x65\0\0\0\x07\0\0\0\x02ab\0\0\0\0\0\0\0\x01");
    }

    #[test]
    fn a_filled_string_knows_its_length_too() {
        let mut packet = Packet::new(1);
        let fill = |bytes: &mut Vec<u8>| {
            bytes.extend_from_slice(b"abc");
            Ok::<_, ()>(())
        };
        packet.filled(fill).unwrap().u32(9);
        assert_eq!(packet.finish(), b"\0\0\0\x0c\x01\0\0\0\x03abc\0\0\0\x09");
    }
}

//! Messages cut out of the input, each with its length checked before anything is allocated for it.

use super::limits;
use bytes::Bytes;
use std::io::{BufReader, ErrorKind, Read};

/// The client's messages, one after the other.
#[derive(Debug)]
pub(super) struct Frames<R>(BufReader<R>);

/// The input cannot be cut into messages.
#[derive(Debug, thiserror::Error)]
pub enum FrameFault {
    /// A message is longer than any may be.
    #[error("a message of {0} bytes is longer than the {max} that are taken", max = limits::MESSAGE)]
    TooLong(u32),
    /// A message without a type.
    #[error("an empty message")]
    Empty,
    /// The input cannot be read.
    #[error("the input cannot be read: {0}")]
    Input(#[from] std::io::Error),
}

impl<R: Read> Frames<R> {
    /// Nothing is read yet.
    pub(super) fn new(input: R) -> Self {
        Self(BufReader::with_capacity(limits::INPUT_BUFFER, input))
    }

    /// The next message without its length; `None` at the end of the input, also where it ends within a message,
    /// which nobody waits for any more.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, FrameFault> {
        let mut length = [0; 4];
        if let Err(fault) = self.0.read_exact(&mut length) {
            return if fault.kind() == ErrorKind::UnexpectedEof { Ok(None) } else { Err(fault.into()) };
        }
        match u32::from_be_bytes(length) {
            0 => Err(FrameFault::Empty),
            length @ 1..=limits::MESSAGE => self.body(length),
            length => Err(FrameFault::TooLong(length)),
        }
    }

    /// Whether more has arrived already.
    pub(super) fn more(&self) -> bool {
        !self.0.buffer().is_empty()
    }

    fn body(&mut self, length: u32) -> Result<Option<Bytes>, FrameFault> {
        let mut body = Vec::with_capacity(length as usize);
        let read = self.0.by_ref().take(length.into()).read_to_end(&mut body)?;
        Ok((read == length as usize).then(|| body.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8]) -> (Vec<Bytes>, Option<FrameFault>) {
        let mut frames = Frames::new(input);
        let mut seen = Vec::new();
        loop {
            match frames.next() {
                Ok(Some(frame)) => seen.push(frame),
                Ok(None) => return (seen, None),
                Err(fault) => return (seen, Some(fault)),
            }
        }
    }

    #[test]
    fn messages_are_cut_where_they_end() {
        let (seen, fault) = all(b"\0\0\0\x01a\0\0\0\x03bcd");
        assert_eq!((seen, fault.is_none()), (vec![Bytes::from("a"), Bytes::from("bcd")], true));
    }

    #[test]
    fn large_messages_pass_whole() {
        let length = limits::MESSAGE as usize;
        let input = [&limits::MESSAGE.to_be_bytes()[..], &vec![7; length], b"\0\0\0\x01a"].concat();
        let (seen, _) = all(&input);
        assert_eq!((seen.len(), seen[0].len(), &seen[1][..]), (2, length, &b"a"[..]));
    }

    #[test]
    fn a_length_is_refused_before_its_message() {
        assert!(matches!(all(b"\0\x04\0\x01"), (_, Some(FrameFault::TooLong(0x4_0001)))));
        assert!(matches!(all(b"\xff\xff\xff\xff"), (_, Some(FrameFault::TooLong(u32::MAX)))));
        assert!(matches!(all(b"\0\0\0\0"), (_, Some(FrameFault::Empty))));
    }

    #[test]
    fn an_end_within_a_message_is_an_end() {
        for input in [&b""[..], b"\0\0", b"\0\0\0\x05abcd"] {
            let (seen, fault) = all(input);
            assert!(seen.is_empty() && fault.is_none());
        }
    }

    #[test]
    fn what_has_arrived_already_is_known() {
        let mut frames = Frames::new(&b"\0\0\0\x01a\0\0\0\x01b"[..]);
        assert!(!frames.more());
        frames.next().unwrap();
        assert!(frames.more());
        frames.next().unwrap();
        assert!(!frames.more());
    }
}

//! The wire's primitives, read out of one message without copying it.

use bytes::{Buf, Bytes};

/// What is left of a message.
#[derive(Debug)]
pub(super) struct Parse(Bytes);

/// A message does not say what its type asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It ends too early.
    #[error("a message is shorter than what it holds")]
    Short,
    /// A path has a NUL in it.
    #[error("a path has a NUL in it")]
    Nul,
    /// A list of ids is no list of ids.
    #[error("a list of ids has a part of an id in it")]
    Ids,
}

impl Parse {
    /// The whole of `message`.
    pub(super) fn new(message: Bytes) -> Self {
        Self(message)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        self.0.try_get_u8().map_err(|_| Malformed::Short)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.0.try_get_u32().map_err(|_| Malformed::Short)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.0.try_get_u64().map_err(|_| Malformed::Short)
    }

    pub(super) fn pair(&mut self) -> Result<(u32, u32), Malformed> {
        Ok((self.u32()?, self.u32()?))
    }

    /// Length and bytes.
    pub(super) fn string(&mut self) -> Result<Bytes, Malformed> {
        let length = self.u32()? as usize;
        if length > self.0.len() { Err(Malformed::Short) } else { Ok(self.0.split_to(length)) }
    }

    /// A string that may be a path; as in OpenSSH, one NUL at its end does not count.
    pub(super) fn path(&mut self) -> Result<Bytes, Malformed> {
        let mut path = self.string()?;
        if path.last() == Some(&0) {
            path.truncate(path.len() - 1);
        }
        if path.contains(&0) { Err(Malformed::Nul) } else { Ok(path) }
    }

    /// A string of 32-bit ids.
    pub(super) fn ids(&mut self) -> Result<Vec<u32>, Malformed> {
        let list = self.string()?;
        let (ids, []) = list.as_chunks() else { return Err(Malformed::Ids) };
        Ok(ids.iter().map(|&id| u32::from_be_bytes(id)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &'static [u8]) -> Parse {
        Parse::new(bytes.into())
    }

    #[test]
    fn numbers_and_strings_are_read_in_order() {
        let mut from = parse(b"\x07\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\x02abrest");
        assert_eq!((from.byte(), from.u32(), from.u64()), (Ok(7), Ok(1), Ok(2)));
        assert_eq!(from.string().unwrap(), "ab");
        assert_eq!((from.u32(), from.byte()), (Ok(u32::from_be_bytes(*b"rest")), Err(Malformed::Short)));
    }

    #[test]
    fn a_string_stays_inside_its_message() {
        assert_eq!(parse(b"\0\0\0\x03ab").string(), Err(Malformed::Short));
        assert_eq!(parse(b"\xff\xff\xff\xffab").string(), Err(Malformed::Short));
    }

    #[test]
    fn only_a_last_nul_is_forgiven() {
        assert_eq!(parse(b"\0\0\0\x02a\0").path().unwrap(), "a");
        assert_eq!(parse(b"\0\0\0\x03a\0b").path(), Err(Malformed::Nul));
        assert_eq!(parse(b"\0\0\0\x03a\0\0").path(), Err(Malformed::Nul));
    }

    #[test]
    fn ids_are_whole() {
        assert_eq!(parse(b"\0\0\0\x08\0\0\0\x01\0\0\0\x02").ids(), Ok(vec![1, 2]));
        assert_eq!(parse(b"\0\0\0\x05\0\0\0\x01\0").ids(), Err(Malformed::Ids));
    }
}

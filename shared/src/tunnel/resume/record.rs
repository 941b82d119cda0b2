//! Records on a leg: their heads, encoded and decoded.

use super::{MAX_RECORD, Violation};
use bytes::{Buf, BufMut, BytesMut};

const DATA: u8 = 1;
const TAKEN: u8 = 2;
const FIN: u8 = 3;
const RESET: u8 = 4;
const STOP: u8 = 5;

/// Bytes of the longest head.
pub const MAX_HEAD: usize = 9;

/// A record without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// This many bytes follow: 1 to [`MAX_RECORD`].
    Data(usize),
    /// All before this position is taken.
    Taken(u64),
    /// An orderly end, here.
    Fin(u64),
    /// A break, here.
    Reset(u64),
    /// Send no more.
    Stop,
}

impl Record {
    /// Writes it.
    pub fn encode(self, wire: &mut BytesMut) {
        match self {
            Self::Data(length) => {
                wire.put_u8(DATA);
                wire.put_u32(length as u32);
            }
            Self::Taken(position) => put(wire, TAKEN, position),
            Self::Fin(position) => put(wire, FIN, position),
            Self::Reset(position) => put(wire, RESET, position),
            Self::Stop => wire.put_u8(STOP),
        }
    }

    /// Takes one from the front of `wire`; `None` while it is cut short.
    pub fn decode(wire: &mut BytesMut) -> Result<Option<Self>, Violation> {
        let Some((&kind, mut fields)) = wire.split_first() else { return Ok(None) };
        let record = match kind {
            DATA => fields.try_get_u32().ok().map(data).transpose()?,
            TAKEN => fields.try_get_u64().ok().map(Self::Taken),
            FIN => fields.try_get_u64().ok().map(Self::Fin),
            RESET => fields.try_get_u64().ok().map(Self::Reset),
            STOP => Some(Self::Stop),
            other => return Err(Violation::Type(other)),
        };
        let left = fields.len();
        if record.is_some() {
            wire.advance(wire.len() - left);
        }
        Ok(record)
    }
}

fn put(wire: &mut BytesMut, kind: u8, position: u64) {
    wire.put_u8(kind);
    wire.put_u64(position);
}

fn data(length: u32) -> Result<Record, Violation> {
    let length = length as usize;
    (1..=MAX_RECORD).contains(&length).then_some(Record::Data(length)).ok_or(Violation::Length(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: [(Record, &[u8]); 5] = [
        (Record::Data(258), b"\x01\0\0\x01\x02"),
        (Record::Taken(258), b"\x02\0\0\0\0\0\0\x01\x02"),
        (Record::Fin(258), b"\x03\0\0\0\0\0\0\x01\x02"),
        (Record::Reset(258), b"\x04\0\0\0\0\0\0\x01\x02"),
        (Record::Stop, b"\x05"),
    ];

    #[test]
    fn records_have_these_bytes() {
        for (record, bytes) in GOLDEN {
            let mut wire = BytesMut::new();
            record.encode(&mut wire);
            assert_eq!(wire, bytes);
            assert_eq!(Record::decode(&mut wire), Ok(Some(record)));
            assert!(wire.is_empty() && bytes.len() <= MAX_HEAD);
        }
    }

    #[test]
    fn a_cut_record_waits_and_takes_nothing() {
        for (record, bytes) in GOLDEN {
            for end in 0..bytes.len() {
                let mut wire = BytesMut::from(&bytes[..end]);
                assert_eq!(Record::decode(&mut wire), Ok(None), "{record:?} cut at {end}");
                assert_eq!(wire.len(), end);
            }
        }
    }

    #[test]
    fn lengths_and_types_are_bounded() {
        let fault = |bytes: &[u8]| Record::decode(&mut bytes.into()).unwrap_err();
        assert_eq!(fault(b"\x01\0\0\0\0"), Violation::Length(0));
        assert_eq!(fault(b"\x01\0\x10\0\x01"), Violation::Length(MAX_RECORD + 1));
        assert_eq!(fault(b"\x00"), Violation::Type(0));
        assert_eq!(fault(b"\x06"), Violation::Type(6));
    }
}

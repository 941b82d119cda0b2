//! Records on a leg: however they are cut, they mean the same, and nothing in them makes a strand hold more than came.

use drawbridge_shared::tunnel::resume::{
    Violation,
    strand::{Read, Strand},
};

/// What one end has made of it.
#[derive(Debug, PartialEq, Eq)]
struct Made {
    violation: Option<Violation>,
    read: Vec<Read>,
    unconfirmed: usize,
    says: Vec<u8>,
}

/// The first byte of `data` says where the others are cut.
pub fn check(data: &[u8]) -> bool {
    let Some((&piece, wire)) = data.split_first() else { return false };
    let whole = made_of(wire, wire.len());
    assert_eq!(made_of(wire, piece.into()), whole, "cut into pieces of {piece} it means something else");
    !wire.is_empty() && whole.violation.is_none()
}

/// An end that has sent something, and is told `wire`.
fn made_of(wire: &[u8], piece: usize) -> Made {
    let mut strand = Strand::default();
    strand.append(b"something");
    strand.finish();
    strand.transmit(&mut Vec::new());
    let mut held = bytes::BytesMut::new();
    let violation = wire.chunks(piece.max(1)).find_map(|piece| {
        held.extend_from_slice(piece);
        strand.receive(&mut held).err()
    });
    assert!(strand.unread() <= wire.len() + 1, "{} bytes wait, of {}", strand.unread(), wire.len());
    assert!(held.len() <= wire.len());
    let read = read(&mut strand);
    let mut says = Vec::new();
    strand.transmit(&mut says);
    assert!(!strand.is_over() || strand.is_complete());
    Made { violation, read, unconfirmed: strand.unconfirmed(), says: says.concat() }
}

/// All bytes as one piece, then the end.
fn read(strand: &mut Strand) -> Vec<Read> {
    let mut bytes = Vec::new();
    loop {
        match strand.read(usize::MAX) {
            Read::Bytes(piece) => bytes.extend_from_slice(&piece),
            end => {
                assert_eq!(strand.read(1), end, "an end stays one");
                return vec![Read::Bytes(bytes.into()), end];
            }
        }
    }
}

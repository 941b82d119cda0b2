//! What OpenSSH adds to the protocol: its PROTOCOL file, section 4, and draft-ietf-secsh-filexfer-extensions-00.

use super::{
    attributes::Attributes,
    handles::Handle,
    parse::{Malformed, Parse},
};
use bytes::Bytes;

/// Names and versions in the order in which OpenSSH's server announces them.
pub(super) const ANNOUNCED: [(&str, &str); 11] = [
    ("posix-rename@openssh.com", "1"),
    ("statvfs@openssh.com", "2"),
    ("fstatvfs@openssh.com", "2"),
    ("hardlink@openssh.com", "1"),
    ("fsync@openssh.com", "1"),
    ("lsetstat@openssh.com", "1"),
    ("limits@openssh.com", "1"),
    ("expand-path@openssh.com", "1"),
    ("copy-data", "1"),
    ("home-directory", "1"),
    ("users-groups-by-id@openssh.com", "1"),
];

/// An extended request; paths are bytes without NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are the specifications' own")]
pub enum Extension {
    /// Rename and replace.
    PosixRename { from: Bytes, to: Bytes },
    /// Room on the file system of a path.
    Statvfs { path: Bytes },
    /// Room on the file system of an open file.
    Fstatvfs { handle: Handle },
    /// A second name for a file.
    Hardlink { from: Bytes, to: Bytes },
    /// Make what was written last.
    Fsync { handle: Handle },
    /// Change attributes of a path, links not followed.
    Lsetstat { path: Bytes, attributes: Attributes },
    /// How much fits.
    Limits,
    /// `Realpath` that knows `~`.
    ExpandPath { path: Bytes },
    /// Copy from one open file to another; a length of 0 means to the end.
    CopyData { from: Handle, offset: u64, length: u64, to: Handle, at: u64 },
    /// The home folder of a user; of one's own where the name is empty.
    HomeDirectory { user: Bytes },
    /// Names of users and groups.
    NamesById { users: Vec<u32>, groups: Vec<u32> },
    /// An extension that is not announced.
    Unknown,
}

impl Extension {
    pub(super) fn parse(from: &mut Parse) -> Result<Self, Malformed> {
        Ok(match &from.string()?[..] {
            b"posix-rename@openssh.com" => Self::PosixRename { from: from.path()?, to: from.path()? },
            b"statvfs@openssh.com" => Self::Statvfs { path: from.path()? },
            b"fstatvfs@openssh.com" => Self::Fstatvfs { handle: Handle::parse(from)? },
            b"hardlink@openssh.com" => Self::Hardlink { from: from.path()?, to: from.path()? },
            b"fsync@openssh.com" => Self::Fsync { handle: Handle::parse(from)? },
            b"lsetstat@openssh.com" => Self::Lsetstat { path: from.path()?, attributes: Attributes::parse(from)? },
            b"limits@openssh.com" => Self::Limits,
            b"expand-path@openssh.com" => Self::ExpandPath { path: from.path()? },
            b"copy-data" => Self::copy_data(from)?,
            b"home-directory" => Self::HomeDirectory { user: from.path()? },
            b"users-groups-by-id@openssh.com" => Self::NamesById { users: from.ids()?, groups: from.ids()? },
            _ => Self::Unknown,
        })
    }

    fn copy_data(from: &mut Parse) -> Result<Self, Malformed> {
        Ok(Self::CopyData {
            from: Handle::parse(from)?,
            offset: from.u64()?,
            length: from.u64()?,
            to: Handle::parse(from)?,
            at: from.u64()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::sftp::packet::Packet;

    fn parse(name: &str, rest: &[u8]) -> Result<Extension, Malformed> {
        let mut packet = Packet::new(0);
        packet.string(name.as_bytes());
        Extension::parse(&mut Parse::new([&packet.finish()[5..], rest].concat().into()))
    }

    const TWO: &[u8] = b"\0\0\0\x01a\0\0\0\x01b";

    #[test]
    fn every_announced_extension_is_decoded() {
        for (name, _) in ANNOUNCED {
            assert_ne!(parse(name, &[0; 64]), Ok(Extension::Unknown), "{name}");
        }
        assert_eq!(parse("nosuch@example.com", b"anything"), Ok(Extension::Unknown));
    }

    #[test]
    fn their_arguments_are_in_order() {
        let (a, b) = (|| Bytes::from("a"), || Bytes::from("b"));
        assert_eq!(parse("posix-rename@openssh.com", TWO), Ok(Extension::PosixRename { from: a(), to: b() }));
        assert_eq!(parse("hardlink@openssh.com", TWO), Ok(Extension::Hardlink { from: a(), to: b() }));
        assert_eq!(parse("fsync@openssh.com", TWO), Ok(Extension::Fsync { handle: Handle::from_wire(a()) }));
        assert_eq!(parse("expand-path@openssh.com", TWO), Ok(Extension::ExpandPath { path: a() }));
    }

    #[test]
    fn copy_data_has_two_handles() {
        let rest = b"\0\0\0\x01a\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\x01b\0\0\0\0\0\0\0\x03";
        let (from, to) = (Handle::from_wire("a".into()), Handle::from_wire("b".into()));
        assert_eq!(parse("copy-data", rest), Ok(Extension::CopyData { from, offset: 1, length: 2, to, at: 3 }));
        assert_eq!(parse("copy-data", &rest[..rest.len() - 1]), Err(Malformed::Short));
    }

    #[test]
    fn ids_come_in_two_lists() {
        let rest = b"\0\0\0\x08\0\0\0\x01\0\0\0\x02\0\0\0\x04\0\0\0\x03";
        let wanted = Extension::NamesById { users: vec![1, 2], groups: vec![3] };
        assert_eq!(parse("users-groups-by-id@openssh.com", rest), Ok(wanted));
    }
}

//! What a client asks for: draft-ietf-secsh-filexfer-02 section 6, decoded without I/O.

use super::{
    attributes::Attributes,
    extension::Extension,
    handles::Handle,
    parse::{Malformed, Parse},
};
use bytes::Bytes;

/// One message of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The first one: the highest version that the client speaks.
    Init(u32),
    /// A request and the id its answer carries.
    Request(u32, Request),
}

/// A request; paths are bytes without NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are the draft's own")]
pub enum Request {
    /// Open or make a file.
    Open { path: Bytes, flags: u32, attributes: Attributes },
    /// Close a file or folder.
    Close { handle: Handle },
    /// Read a piece.
    Read { handle: Handle, offset: u64, length: u32 },
    /// Write a piece.
    Write { handle: Handle, offset: u64, data: Bytes },
    /// Attributes of a path, links not followed.
    Lstat { path: Bytes },
    /// Attributes of an open file.
    Fstat { handle: Handle },
    /// Change attributes of a path.
    Setstat { path: Bytes, attributes: Attributes },
    /// Change attributes of an open file.
    Fsetstat { handle: Handle, attributes: Attributes },
    /// Open a folder.
    Opendir { path: Bytes },
    /// The next entries of a folder.
    Readdir { handle: Handle },
    /// Remove a file.
    Remove { path: Bytes },
    /// Make a folder.
    Mkdir { path: Bytes, attributes: Attributes },
    /// Remove an empty folder.
    Rmdir { path: Bytes },
    /// A path from the root without links or dots.
    Realpath { path: Bytes },
    /// Attributes of a path, links followed.
    Stat { path: Bytes },
    /// Rename without replacing.
    Rename { from: Bytes, to: Bytes },
    /// Where a link leads.
    Readlink { path: Bytes },
    /// Make a link at `link` that says `target`: OpenSSH's order, against the draft's (PROTOCOL section 4.1).
    Symlink { target: Bytes, link: Bytes },
    /// What OpenSSH adds.
    Extended(Extension),
    /// A type that nobody knows.
    Unknown(u8),
}

impl Message {
    /// Decodes a message that was cut out by its length; bytes behind what it needs are ignored, as OpenSSH does.
    pub fn decode(message: Bytes) -> Result<Self, Malformed> {
        let mut from = Parse::new(message);
        match from.byte()? {
            1 => Ok(Self::Init(from.u32()?)),
            kind => Ok(Self::Request(from.u32()?, Request::parse(kind, &mut from)?)),
        }
    }
}

impl Request {
    fn parse(kind: u8, from: &mut Parse) -> Result<Self, Malformed> {
        Ok(match kind {
            3 => Self::Open { path: from.path()?, flags: from.u32()?, attributes: Attributes::parse(from)? },
            4 => Self::Close { handle: Handle::parse(from)? },
            5 => Self::Read { handle: Handle::parse(from)?, offset: from.u64()?, length: from.u32()? },
            6 => Self::Write { handle: Handle::parse(from)?, offset: from.u64()?, data: from.string()? },
            7 => Self::Lstat { path: from.path()? },
            8 => Self::Fstat { handle: Handle::parse(from)? },
            9 => Self::Setstat { path: from.path()?, attributes: Attributes::parse(from)? },
            10 => Self::Fsetstat { handle: Handle::parse(from)?, attributes: Attributes::parse(from)? },
            11 => Self::Opendir { path: from.path()? },
            12 => Self::Readdir { handle: Handle::parse(from)? },
            13 => Self::Remove { path: from.path()? },
            14 => Self::Mkdir { path: from.path()?, attributes: Attributes::parse(from)? },
            15 => Self::Rmdir { path: from.path()? },
            16 => Self::Realpath { path: from.path()? },
            17 => Self::Stat { path: from.path()? },
            18 => Self::Rename { from: from.path()?, to: from.path()? },
            19 => Self::Readlink { path: from.path()? },
            20 => Self::Symlink { target: from.path()?, link: from.path()? },
            200 => Self::Extended(Extension::parse(from)?),
            unknown => Self::Unknown(unknown),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message of type `kind` with id 5.
    fn request(kind: u8, rest: &[u8]) -> Result<Request, Malformed> {
        let message = [&[kind, 0, 0, 0, 5], rest].concat();
        match Message::decode(message.into())? {
            Message::Request(5, request) => Ok(request),
            other => panic!("{other:?}"),
        }
    }

    fn path(kind: u8) -> Request {
        request(kind, b"\0\0\0\x02/x").unwrap()
    }

    const FLAGS: &[u8] = b"\0\0\0\x04\0\0\x01\xff";

    fn all() -> Attributes {
        Attributes { permissions: Some(0o777), ..Attributes::default() }
    }

    #[test]
    fn the_first_message_has_a_version_and_no_id() {
        assert_eq!(Message::decode(b"\x01\0\0\0\x03"[..].into()), Ok(Message::Init(3)));
        assert_eq!(Message::decode(b"\x01\0\0"[..].into()), Err(Malformed::Short));
        assert_eq!(Message::decode(Bytes::new()), Err(Malformed::Short));
    }

    #[test]
    fn requests_with_a_path() {
        let x = || Bytes::from("/x");
        assert_eq!(path(7), Request::Lstat { path: x() });
        assert_eq!(path(11), Request::Opendir { path: x() });
        assert_eq!(path(13), Request::Remove { path: x() });
        assert_eq!(path(15), Request::Rmdir { path: x() });
        assert_eq!(path(16), Request::Realpath { path: x() });
        assert_eq!(path(17), Request::Stat { path: x() });
        assert_eq!(path(19), Request::Readlink { path: x() });
    }

    #[test]
    fn requests_with_a_path_and_more() {
        let with = |kind, more: &[u8]| request(kind, &[&b"\0\0\0\x02/x"[..], more].concat()).unwrap();
        let (path, attributes) = (Bytes::from("/x"), all());
        let open = [b"\0\0\0\x1a", FLAGS].concat();
        assert_eq!(with(3, &open), Request::Open { path: path.clone(), flags: 26, attributes: attributes.clone() });
        assert_eq!(with(9, FLAGS), Request::Setstat { path: path.clone(), attributes: attributes.clone() });
        assert_eq!(with(14, FLAGS), Request::Mkdir { path: path.clone(), attributes });
        assert_eq!(with(18, b"\0\0\0\x01y"), Request::Rename { from: path.clone(), to: "y".into() });
        assert_eq!(with(20, b"\0\0\0\x01y"), Request::Symlink { target: path, link: "y".into() });
    }

    #[test]
    fn requests_with_a_handle() {
        let with = |kind, more: &[u8]| request(kind, &[&b"\0\0\0\x01h"[..], more].concat()).unwrap();
        let handle = || Handle::from_wire("h".into());
        assert_eq!(with(4, b""), Request::Close { handle: handle() });
        assert_eq!(with(8, b""), Request::Fstat { handle: handle() });
        assert_eq!(with(12, b""), Request::Readdir { handle: handle() });
        assert_eq!(with(10, FLAGS), Request::Fsetstat { handle: handle(), attributes: all() });
        let read = b"\0\0\0\x01\0\0\0\0\0\0\x80\0";
        assert_eq!(with(5, read), Request::Read { handle: handle(), offset: 1 << 32, length: 32_768 });
        let write = b"\0\0\0\0\0\0\0\x07\0\0\0\x03abc";
        assert_eq!(with(6, write), Request::Write { handle: handle(), offset: 7, data: "abc".into() });
    }

    #[test]
    fn whatever_is_cut_off_is_noticed() {
        let write = b"\0\0\0\x01h\0\0\0\0\0\0\0\x07\0\0\0\x03abc";
        for end in 0..write.len() {
            assert_eq!(request(6, &write[..end]), Err(Malformed::Short), "{end}");
        }
        assert!(request(6, &[&write[..], b"more"].concat()).is_ok());
    }

    #[test]
    fn unknown_types_keep_their_id() {
        assert_eq!(request(99, b"whatever"), Ok(Request::Unknown(99)));
        assert_eq!(Message::decode(b"\x63\0"[..].into()), Err(Malformed::Short));
    }
}

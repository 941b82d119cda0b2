//! What a server answers: draft-ietf-secsh-filexfer-02 section 7, and the answers of OpenSSH's extensions.

use super::{
    attributes::Attributes,
    extension::ANNOUNCED,
    handles::Handle,
    limits,
    packet::Packet,
    status::{Code, Status},
};
use rustix::fs::{StatVfs, StatVfsMountFlags};

const VERSION: u8 = 2;
const STATUS: u8 = 101;
const HANDLE: u8 = 102;
const DATA: u8 = 103;
const NAME: u8 = 104;
const ATTRS: u8 = 105;
const EXTENDED: u8 = 201;

/// The version that is spoken, whatever the client proposes.
const SPOKEN: u32 = 3;

/// An answer, or the status that stands in its place.
pub(super) type Reply = Result<Packet, Status>;

/// The version and what is served beyond it.
pub(super) fn version() -> Packet {
    let mut packet = Packet::with_room(VERSION, 320);
    packet.u32(SPOKEN);
    for (name, version) in ANNOUNCED {
        packet.string(name.as_bytes()).string(version.as_bytes());
    }
    packet
}

/// The bytes of `reply` to request `id`.
pub(super) fn finish(id: u32, reply: Reply) -> Vec<u8> {
    reply.unwrap_or_else(|status| self::status(id, &status)).finish()
}

/// That it is done, or why not.
pub(super) fn done(id: u32, outcome: Result<(), impl Into<Status>>) -> Reply {
    outcome.map_err(Into::into)?;
    Ok(status(id, &Code::Ok.into()))
}

fn status(id: u32, status: &Status) -> Packet {
    let mut packet = answer(STATUS, id);
    packet.u32(status.code as u32).string(status.words.as_bytes()).string(b"");
    packet
}

/// A newly opened file or folder.
pub(super) fn handle(id: u32, handle: &Handle) -> Packet {
    let mut packet = answer(HANDLE, id);
    packet.string(handle.as_bytes());
    packet
}

/// Up to `room` bytes of a file, put in by `fill`.
pub(super) fn data(id: u32, room: usize, fill: impl FnOnce(&mut Vec<u8>) -> Result<(), Status>) -> Reply {
    let mut packet = Packet::with_room(DATA, 8 + room);
    packet.u32(id).filled(fill)?;
    Ok(packet)
}

/// Attributes of a file.
pub(super) fn attributes(id: u32, attributes: &Attributes) -> Packet {
    let mut packet = answer(ATTRS, id);
    attributes.write(&mut packet);
    packet
}

/// A path, without attributes.
pub(super) fn path(id: u32, path: &[u8]) -> Packet {
    let mut names = Names::new(id, path.len() * 2);
    names.push(path, path, &Attributes::default());
    names.finish()
}

/// A growing list of names.
#[derive(Debug)]
pub(super) struct Names {
    packet: Packet,
    count: u32,
}

/// Where the count stands: behind length, type and id.
const COUNT_AT: usize = 9;

impl Names {
    /// No name yet, and room for `room` bytes of them.
    pub(super) fn new(id: u32, room: usize) -> Self {
        let mut packet = Packet::with_room(NAME, room + 32);
        packet.u32(id).u32(0);
        Self { packet, count: 0 }
    }

    pub(super) fn push(&mut self, name: &[u8], long: &[u8], attributes: &Attributes) {
        self.packet.string(name).string(long);
        attributes.write(&mut self.packet);
        self.count += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether a listing's message is to be closed.
    pub(super) fn is_full(&self) -> bool {
        self.packet.len() >= limits::LISTING
    }

    pub(super) fn finish(mut self) -> Packet {
        self.packet.overwrite(COUNT_AT, self.count);
        self.packet
    }
}

/// Room on a file system (`statvfs@openssh.com`).
pub(super) fn space(id: u32, of: &StatVfs) -> Packet {
    let mut packet = Packet::with_room(EXTENDED, 4 + 11 * 8);
    packet.u32(id);
    let blocks = [of.f_bsize, of.f_frsize, of.f_blocks, of.f_bfree, of.f_bavail];
    let files = [of.f_files, of.f_ffree, of.f_favail, of.f_fsid, mount(of.f_flag), of.f_namemax];
    for number in blocks.into_iter().chain(files) {
        packet.u64(number);
    }
    packet
}

/// The two flags that the extension knows.
fn mount(flags: StatVfsMountFlags) -> u64 {
    let flag = |present, flag| if present { flag } else { 0 };
    flag(flags.contains(StatVfsMountFlags::RDONLY), 1) | flag(flags.contains(StatVfsMountFlags::NOSUID), 2)
}

/// How much fits (`limits@openssh.com`): into a message, a read, a write, and how many handles.
pub(super) fn bounds(id: u32, handles: usize) -> Packet {
    let mut packet = answer(EXTENDED, id);
    packet.u64(limits::MESSAGE.into()).u64(limits::PIECE.into()).u64(limits::PIECE.into()).u64(handles as u64);
    packet
}

/// Names of users and groups (`users-groups-by-id@openssh.com`); an empty one where nobody has the id.
pub(super) fn owners(id: u32, users: impl Iterator<Item = String>, groups: impl Iterator<Item = String>) -> Packet {
    let mut packet = answer(EXTENDED, id);
    let mut room = limits::NAMES;
    let mut list = |names: &mut dyn Iterator<Item = String>| {
        let mut list = Vec::new();
        for name in names {
            let name = if name.len() <= room { name.as_bytes() } else { b"" };
            room -= name.len();
            list.extend_from_slice(&u32::try_from(name.len()).unwrap_or_default().to_be_bytes());
            list.extend_from_slice(name);
        }
        list
    };
    let (users, groups) = (list(&mut { users }), list(&mut { groups }));
    packet.string(&users).string(&groups);
    packet
}

fn answer(kind: u8, id: u32) -> Packet {
    let mut packet = Packet::new(kind);
    packet.u32(id);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_announces_what_openssh_9_2_does() {
        let golden = b"\0\0\x01>\x02\0\0\0\x03\0\0\0\x18posix-rename@openssh.com\0\0\0\x011\0\0\0\x13statvfs@openssh.com\0\0\0\x012\
            \0\0\0\x14fstatvfs@openssh.com\0\0\0\x012\0\0\0\x14hardlink@openssh.com\0\0\0\x011\0\0\0\x11fsync@openssh.com\0\0\0\x011\
            \0\0\0\x14lsetstat@openssh.com\0\0\0\x011\0\0\0\x12limits@openssh.com\0\0\0\x011\
            \0\0\0\x17expand-path@openssh.com\0\0\0\x011\0\0\0\x09copy-data\0\0\0\x011\0\0\0\x0ehome-directory\0\0\0\x011\
            \0\0\0\x1eusers-groups-by-id@openssh.com\0\0\0\x011";
        assert_eq!(version().finish(), golden);
    }

    #[test]
    fn a_status_has_a_code_words_and_no_language() {
        let ok = b"\0\0\0\x18\x65\0\0\0\x03\0\0\0\0\0\0\0\x07Success\0\0\0\0";
        assert_eq!(finish(3, done(3, Ok::<_, Status>(()))), ok);
        let missing = b"\0\0\0\x1d\x65\0\0\0\x03\0\0\0\x02\0\0\0\x0cNo such file\0\0\0\0";
        assert_eq!(finish(3, Err(Code::NoSuchFile.into())), missing);
    }

    #[test]
    fn data_is_filled_in_place() {
        let fill = |bytes: &mut Vec<u8>| {
            bytes.extend_from_slice(b"abc");
            Ok(())
        };
        assert_eq!(finish(1, data(1, 3, fill)), b"\0\0\0\x0c\x67\0\0\0\x01\0\0\0\x03abc");
        let end = |_: &mut Vec<u8>| Err(Code::Eof.into());
        assert_eq!(finish(1, data(1, 3, end))[4..13], *b"\x65\0\0\0\x01\0\0\0\x01");
    }

    #[test]
    fn a_path_is_one_name_without_attributes() {
        let golden = b"\0\0\0\x1d\x68\0\0\0\x63\0\0\0\x01\0\0\0\x04/tmp\0\0\0\x04/tmp\0\0\0\0";
        assert_eq!(path(99, b"/tmp").finish(), golden);
    }

    #[test]
    fn names_are_counted() {
        let mut names = Names::new(1, 0);
        assert!(names.is_empty());
        names.push(b"a", b"-a", &Attributes::default());
        names.push(b"b", b"-b", &Attributes { permissions: Some(1), ..Attributes::default() });
        let golden =
            b"\0\0\0\x2b\x68\0\0\0\x01\0\0\0\x02\0\0\0\x01a\0\0\0\x02-a\0\0\0\0\0\0\0\x01b\0\0\0\x02-b\0\0\0\x04\0\0\0\x01";
        assert_eq!(names.finish().finish(), golden);
    }

    #[test]
    fn limits_are_openssh_s() {
        let golden = b"\0\0\0\x25\xc9\0\0\0\x03\0\0\0\0\0\x04\0\0\0\0\0\0\0\x03\xfc\0\0\0\0\0\0\x03\xfc\0\0\0\0\0\0\0\x10\0";
        assert_eq!(bounds(3, 4096).finish(), golden);
    }

    #[test]
    fn owners_without_a_name_are_empty() {
        let names = ["root", "", "dev"].map(str::to_owned).into_iter();
        let golden = b"\0\0\0\x20\xc9\0\0\0\x03\0\0\0\x13\0\0\0\x04root\0\0\0\0\0\0\0\x03dev\0\0\0\0";
        assert_eq!(owners(3, names, std::iter::empty()).finish(), golden);
    }

    #[test]
    fn more_names_than_fit_become_empty() {
        let names = std::iter::repeat_n("x".repeat(limits::NAMES / 2), 3);
        let length = owners(3, names, std::iter::empty()).len();
        assert!(length < limits::MESSAGE as usize, "{length}");
    }
}

//! What a file is besides its contents, as draft-ietf-secsh-filexfer-02 section 5 writes it.

use super::{
    packet::Packet,
    parse::{Malformed, Parse},
};
use rustix::fs::Stat;

const SIZE: u32 = 1;
const OWNER: u32 = 2;
const PERMISSIONS: u32 = 4;
const TIMES: u32 = 8;
const EXTENDED: u32 = 0x8000_0000;

/// Attributes that are told or asked for; what is `None` is left as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Bytes.
    pub size: Option<u64>,
    /// User id and group id.
    pub owner: Option<(u32, u32)>,
    /// As `st_mode` has them: type and permissions.
    pub permissions: Option<u32>,
    /// Seconds since 1970 of the last access and of the last change.
    pub times: Option<(u32, u32)>,
}

impl Attributes {
    /// Reads attributes; extended ones, of which version 3 defines none, are skipped.
    pub(super) fn parse(from: &mut Parse) -> Result<Self, Malformed> {
        let flags = from.u32()?;
        let has = |flag| flags & flag != 0;
        let size = has(SIZE).then(|| from.u64()).transpose()?;
        let owner = has(OWNER).then(|| from.pair()).transpose()?;
        let permissions = has(PERMISSIONS).then(|| from.u32()).transpose()?;
        let times = has(TIMES).then(|| from.pair()).transpose()?;
        if has(EXTENDED) {
            for _ in 0..from.u32()? {
                from.string()?;
                from.string()?;
            }
        }
        Ok(Self { size, owner, permissions, times })
    }

    /// Writes them behind what `packet` holds.
    pub(super) fn write(&self, packet: &mut Packet) {
        let flag = |present: bool, flag| if present { flag } else { 0 };
        let flags = flag(self.size.is_some(), SIZE)
            | flag(self.owner.is_some(), OWNER)
            | flag(self.permissions.is_some(), PERMISSIONS)
            | flag(self.times.is_some(), TIMES);
        packet.u32(flags);
        if let Some(size) = self.size {
            packet.u64(size);
        }
        if let Some((user, group)) = self.owner {
            packet.u32(user).u32(group);
        }
        if let Some(permissions) = self.permissions {
            packet.u32(permissions);
        }
        if let Some((accessed, modified)) = self.times {
            packet.u32(accessed).u32(modified);
        }
    }
}

/// Version 3 has 32 bits for a time.
impl From<&Stat> for Attributes {
    fn from(stat: &Stat) -> Self {
        Self {
            size: Some(stat.st_size.cast_unsigned()),
            owner: Some((stat.st_uid, stat.st_gid)),
            permissions: Some(stat.st_mode),
            times: Some((stat.st_atime as u32, stat.st_mtime as u32)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[u8] = b"\0\0\0\x0f\0\0\0\x01\0\0\0\x02\0\0\x03\xe8\0\0\0\x64\0\0\x81\xa4\0\0\0\x0a\0\0\0\x0b";

    fn all() -> Attributes {
        Attributes { size: Some((1 << 32) + 2), owner: Some((1000, 100)), permissions: Some(0o100_644), times: Some((10, 11)) }
    }

    fn parse(bytes: &'static [u8]) -> Result<Attributes, Malformed> {
        Attributes::parse(&mut Parse::new(bytes.into()))
    }

    fn written(attributes: &Attributes) -> Vec<u8> {
        let mut packet = Packet::new(0);
        attributes.write(&mut packet);
        packet.finish()[5..].to_vec()
    }

    #[test]
    fn all_or_nothing_is_read_and_written() {
        assert_eq!(parse(ALL).unwrap(), all());
        assert_eq!(written(&all()), ALL);
        assert_eq!(parse(b"\0\0\0\0").unwrap(), Attributes::default());
        assert_eq!(written(&Attributes::default()), b"\0\0\0\0");
    }

    #[test]
    fn extended_ones_are_skipped() {
        let seen = parse(b"\x80\0\0\x04\0\0\x01\xff\0\0\0\x01\0\0\0\x01x\0\0\0\x02yy").unwrap();
        assert_eq!(seen, Attributes { permissions: Some(0o777), ..Attributes::default() });
    }

    #[test]
    fn a_count_without_its_pairs_costs_nothing() {
        assert_eq!(parse(b"\x80\0\0\0\xff\xff\xff\xff"), Err(Malformed::Short));
        assert_eq!(parse(b"\0\0\0\x01\0\0\0\0"), Err(Malformed::Short));
    }
}

//! The names of things: users, workspaces, daemons and snapshots, each parsed once and unable to be wrong afterwards.

use serde::{Deserialize, Deserializer, Serialize};
use std::{fmt, str::FromStr};

/// Longest DNS label, and so the longest workspace or daemon id (RFC 1035 section 2.3.4).
pub const MAX_LABEL: usize = 63;
/// Longest user id, in bytes.
pub const MAX_USER_ID: usize = 64;

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdFault {
    /// Not a DNS label.
    #[error("an id has 1 to 63 characters of a-z, 0-9 and '-', and neither starts nor ends with '-'")]
    NotALabel,
    /// `ws-` is how a target says "workspace".
    #[error("a workspace id cannot start with 'ws-': that prefix is added by whoever connects")]
    Prefixed,
    /// OpenSSH would rewrite it to a dotted quad of another number.
    #[error("a numeric workspace id is a plain decimal below 2^64 without leading zeros")]
    OddNumber,
    /// Not 1 to 64 visible characters.
    #[error("a user id has 1 to 64 visible ASCII characters and no blanks")]
    NotAUser,
    /// `.` and `..`: whoever reads an address takes them for steps in it, escaped or not.
    #[error("a user id is neither '.' nor '..': no address could name it")]
    Step,
}

/// A workspace: a decimal integer or a DNS label, never starting with `ws-`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkspaceId(Box<str>);

/// A user of the platform: 1 to 64 visible ASCII characters, otherwise opaque; neither `.` nor `..`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(Box<str>);

/// A daemon: a DNS label.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DaemonId(Box<str>);

/// Counts publishes of the edge; never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SnapshotSeq(pub u64);

impl fmt::Display for SnapshotSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl WorkspaceId {
    /// The integer below 2^32 that this id is, if it is one: what OpenSSH sends as a dotted quad.
    pub fn as_u32(&self) -> Option<u32> {
        self.0.parse().ok()
    }

    /// The dotted quad under which OpenSSH knows a numeric id below 2^32.
    pub fn dotted_quad(&self) -> Option<std::net::Ipv4Addr> {
        self.as_u32().map(std::net::Ipv4Addr::from)
    }
}

impl FromStr for WorkspaceId {
    type Err = IdFault;

    fn from_str(text: &str) -> Result<Self, IdFault> {
        if !is_label(text) {
            return Err(IdFault::NotALabel);
        }
        if text.starts_with("ws-") {
            return Err(IdFault::Prefixed);
        }
        if reads_as_number(text) && !is_plain_decimal(text) {
            return Err(IdFault::OddNumber);
        }
        Ok(Self(text.into()))
    }
}

impl FromStr for UserId {
    type Err = IdFault;

    fn from_str(text: &str) -> Result<Self, IdFault> {
        let fits = (1..=MAX_USER_ID).contains(&text.len());
        let visible = text.bytes().all(|b| b.is_ascii_graphic());
        if matches!(text, "." | "..") {
            return Err(IdFault::Step);
        }
        (fits && visible).then(|| Self(text.into())).ok_or(IdFault::NotAUser)
    }
}

impl FromStr for DaemonId {
    type Err = IdFault;

    fn from_str(text: &str) -> Result<Self, IdFault> {
        is_label(text).then(|| Self(text.into())).ok_or(IdFault::NotALabel)
    }
}

/// Whether `text` is a DNS label in lower case.
pub fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=MAX_LABEL).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// What `inet_aton` takes for a number: digits, or `0x` and hex digits.
fn reads_as_number(text: &str) -> bool {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let hex = text.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
    digits || hex
}

fn is_plain_decimal(text: &str) -> bool {
    text.parse::<u64>().is_ok_and(|n| n.to_string() == text)
}

macro_rules! text_id {
    ($name:ident) => {
        impl $name {
            /// The id as it is written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

text_id!(WorkspaceId);
text_id!(UserId);
text_id!(DaemonId);

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(text: &str) -> Result<WorkspaceId, IdFault> {
        text.parse()
    }

    #[test]
    fn workspaces_are_integers_or_labels() {
        for good in ["796636", "0", "18446744073709551615", "lighthouse", "a-1", "1a", &"a".repeat(63)] {
            assert_eq!(workspace(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "ä", "a\n", &"a".repeat(64)] {
            assert_eq!(workspace(bad), Err(IdFault::NotALabel), "{bad}");
        }
        assert_eq!(workspace("ws-1"), Err(IdFault::Prefixed));
        for odd in ["007", "0x1f", "0x", "18446744073709551616"] {
            assert_eq!(workspace(odd), Err(IdFault::OddNumber), "{odd}");
        }
    }

    #[test]
    fn a_small_integer_has_a_dotted_quad() {
        assert_eq!(workspace("796636").unwrap().dotted_quad().unwrap().to_string(), "0.12.39.220");
        assert_eq!(workspace("4294967296").unwrap().dotted_quad(), None);
        assert_eq!(workspace("lighthouse").unwrap().dotted_quad(), None);
    }

    #[test]
    fn users_are_opaque_but_visible() {
        for good in ["a", "auth0|5f", "x@example.com", "a/b%2F", &"u".repeat(64)] {
            assert!(good.parse::<UserId>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "a\u{7f}", "ü", "a\n", &"u".repeat(65)] {
            assert_eq!(bad.parse::<UserId>(), Err(IdFault::NotAUser), "{bad}");
        }
        for step in [".", ".."] {
            assert_eq!(step.parse::<UserId>(), Err(IdFault::Step));
            assert!(serde_json::from_value::<UserId>(step.into()).is_err());
        }
        assert!("...".parse::<UserId>().is_ok() && ".a".parse::<UserId>().is_ok());
    }
}

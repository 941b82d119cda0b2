//! A message of SFTP: whatever it says, reading it ends, takes no more than it brought, and does not look behind its end.

use bytes::Bytes;
use drawbridge_agent::ssh::sftp::Message;

/// `data` as a message without its length.
pub fn check(data: &[u8]) -> bool {
    let Ok(message) = Message::decode(Bytes::copy_from_slice(data)) else { return false };
    // Bytes behind what a message needs are ignored (as OpenSSH does), unless its last field is all that is left.
    let longer = Message::decode([data, b"\0\0\0\0"].concat().into());
    if let Ok(longer) = longer {
        assert_eq!(std::mem::discriminant(&longer), std::mem::discriminant(&message));
    }
    // Nothing is made up: what is read is no longer, written out, than a few times what was sent.
    let written = format!("{message:?}").len();
    assert!(written <= 1024 + data.len() * 8, "{written} bytes of {} ", data.len());
    true
}

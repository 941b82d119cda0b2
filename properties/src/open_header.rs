//! The header of an inner connection: what is read survives being written again, and fits one frame.

use drawbridge_shared::tunnel::{MAX_FRAME, frame::LENGTH, open::Open};

/// `data` as the frame without its length.
pub fn check(data: &[u8]) -> bool {
    let Ok(open) = Open::decode(data) else { return false };
    let wire = open.encode();
    let body = &wire[LENGTH..];
    assert!(body.len() <= MAX_FRAME, "{open:?} does not fit a frame");
    assert_eq!(wire[..LENGTH], (body.len() as u32).to_be_bytes());
    assert_eq!(Open::decode(body).as_ref(), Ok(&open));
    // An address has several spellings; everything else has one.
    assert!(body.len() <= data.len() + open.client.to_string().len());
    assert!(!open.trace_id.chars().any(char::is_control), "{open:?} would write a control character into a log");
    true
}

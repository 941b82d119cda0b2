//! The first frame of a stream: bounded, tame in a log, and its meaning survives being written again.

use drawbridge_shared::tunnel::{
    MAX_FRAME,
    frame::LENGTH,
    open::{Open, Opening},
};

/// `data` as the frame without its length.
pub fn check(data: &[u8]) -> bool {
    let Ok(opening) = Opening::decode(data) else { return false };
    let wire = match &opening {
        Opening::New(open) => tame(open, data.len()),
        Opening::Resume(resume) => resume.encode(),
    };
    let body = &wire[LENGTH..];
    assert!(body.len() <= MAX_FRAME, "{opening:?} does not fit a frame");
    assert_eq!(wire[..LENGTH], (body.len() as u32).to_be_bytes());
    assert_eq!(Opening::decode(body).as_ref(), Ok(&opening));
    true
}

/// It written again.
fn tame(open: &Open, length: usize) -> Vec<u8> {
    let wire = open.encode();
    // An address has several spellings; everything else has one.
    assert!(wire.len() - LENGTH <= length + open.client.to_string().len());
    assert!(!open.trace_id.chars().any(char::is_control), "{open:?} would write a control character into a log");
    wire
}

//! What an agent answers to a Resume: bounded, tame in a log, and written back byte for byte.

use drawbridge_shared::tunnel::{MAX_TEXT, frame::LENGTH, resume::frame::Answer};

/// `data` as the frame without its length.
pub fn check(data: &[u8]) -> bool {
    let Ok(answer) = Answer::decode(data) else { return false };
    if let Answer::Gone { words } = &answer {
        assert!(words.len() <= MAX_TEXT && !words.chars().any(char::is_control), "{words:?} would go into a log");
    }
    let wire = answer.encode();
    assert_eq!(&wire[LENGTH..], data, "{answer:?} is written in another way than it was read");
    assert_eq!(wire[..LENGTH], (data.len() as u32).to_be_bytes());
    true
}

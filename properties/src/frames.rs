//! Frames of the control stream: what is read is written back byte for byte, alone and in a stream.

use drawbridge_shared::tunnel::{
    MAX_FRAME,
    frame::{Frame, LENGTH, length},
};

/// `data` as one frame without its length, and as a stream of frames.
pub fn check(data: &[u8]) -> bool {
    let alone = body(data);
    stream(data) | alone
}

/// There is one way to write a frame: a peer's log shows what came.
fn body(data: &[u8]) -> bool {
    let Ok(frame) = Frame::decode(data) else { return false };
    let wire = frame.encode();
    assert_eq!(&wire[LENGTH..], data, "{frame:?} is written in another way than it was read");
    assert_eq!(wire[..LENGTH], (data.len() as u32).to_be_bytes());
    assert_eq!(Frame::decode(&wire[LENGTH..]).as_ref(), Ok(&frame));
    true
}

/// Reads until something is no frame: no length is believed above its bound, and every frame keeps its bytes.
fn stream(mut data: &[u8]) -> bool {
    let mut taken = false;
    while let Some((prefix, rest)) = data.split_first_chunk::<LENGTH>() {
        let Ok(announced) = length(*prefix) else { break };
        assert!((1..=MAX_FRAME).contains(&announced));
        let Some((inside, behind)) = rest.split_at_checked(announced) else { break };
        if !body(inside) {
            break;
        }
        (taken, data) = (true, behind);
    }
    taken
}

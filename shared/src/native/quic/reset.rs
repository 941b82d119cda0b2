//! The key of stateless resets (RFC 9000 section 10.3.2): the same in every process of one identity, so that one which starts
//! after a crash can tell agents that their connections are gone. Two that share a number share it too, and each gets the
//! packets of its own connections only (`doors`), so that neither can be asked for the other's tokens (section 21.11).

use crate::native::identity::Identity;
use ring::hmac::{HMAC_SHA256, Key, sign};
use std::sync::Arc;

/// What else the identity may come to sign begins otherwise.
const LABEL: &[u8] = b"drawbridge quic stateless reset 1";

pub(super) fn key(identity: &Identity) -> Arc<Key> {
    let derived = sign(&Key::new(HMAC_SHA256, &identity.seed()), LABEL);
    Arc::new(Key::new(HMAC_SHA256, derived.as_ref()))
}

//! Public key lines: what is taken has one canonical form, is strong, and keeps its fingerprint.

use drawbridge_shared::{
    fingerprint::Fingerprint,
    key::{MAX_LINE, MAX_TITLE, UserKey},
};
use ssh_key::{Algorithm, HashAlg, PublicKey, public::KeyData};

/// `data` as what a user posts.
pub fn check(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    fingerprints(text);
    match UserKey::parse(text) {
        Ok(key) => {
            canonical(text, &key);
            strong(&key);
            true
        }
        Err(fault) => {
            assert!(!fault.to_string().is_empty() && !fault.advice().is_empty());
            false
        }
    }
}

/// Written again, with its title or without, it is the same key: what a user sees in the list may be posted.
fn canonical(text: &str, key: &UserKey) {
    assert!(key.line().len() <= MAX_LINE && key.title().len() <= MAX_TITLE);
    let listed = format!("{} {}", key.line(), key.title());
    assert!(!listed.contains(char::is_control), "{listed:?} is more than one line");
    for again in [text, &listed, &format!("\t{listed}\r\n")] {
        assert_eq!(UserKey::parse(again).as_ref(), Ok(key), "{again:?}");
    }
    let bare = UserKey::parse(key.line()).expect("a canonical line is taken");
    assert_eq!((bare.line(), bare.title(), bare.fingerprint()), (key.line(), "", key.fingerprint()));
    assert_eq!(bare.with_title(key.title()).expect("a title is a title").line(), key.line());
}

/// As stock tools read it.
fn strong(key: &UserKey) {
    let stock = PublicKey::from_openssh(key.line()).expect("OpenSSH's parser takes it");
    assert_eq!(stock.to_openssh().as_deref(), Ok(key.line()));
    assert_eq!(stock.fingerprint(HashAlg::Sha256).to_string(), key.fingerprint().to_string());
    assert!(!matches!(stock.algorithm(), Algorithm::Dsa | Algorithm::Other(_)));
    if let KeyData::Rsa(rsa) = stock.key_data() {
        let modulus = rsa.n().as_positive_bytes().expect("a modulus is positive");
        let leading = modulus.iter().take_while(|byte| **byte == 0).count();
        assert_eq!(leading, 0, "the modulus is not in its shortest form");
        assert!((256..=1024).contains(&modulus.len()) && (modulus.len() > 256 || modulus[0] >= 0x80));
        assert_eq!(rsa.e().as_positive_bytes().and_then(<[u8]>::last).map(|last| last & 1), Some(1));
    }
}

/// A fingerprint has one way to be printed, and that leads back to it.
fn fingerprints(text: &str) {
    if let Ok(fingerprint) = text.parse::<Fingerprint>() {
        let printed = fingerprint.to_string();
        assert_eq!(printed.parse(), Ok(fingerprint));
        assert!(printed.trim_start_matches("SHA256:") == text.trim_start_matches("SHA256:").trim_end_matches('='));
    }
}

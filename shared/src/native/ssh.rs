//! russh as both SSH servers start it, its defaults changed on purpose (FACTS of russh 0.65 stand in ARCHITECTURE.md).

pub mod exchange;
pub mod leftovers;
pub mod steer;

use russh::{
    Limits, MethodKind, Preferred, SshId, cipher, compression, kex,
    keys::{Algorithm, EcdsaCurve, HashAlg, PrivateKey, PublicKey},
    mac,
    server::Config,
};
use std::{borrow::Cow, time::Duration};

/// The identification line, without its line end.
const ID: &str = concat!("SSH-2.0-Drawbridge_", env!("CARGO_PKG_VERSION"));

/// Post-quantum hybrid first; no SHA-1, no NIST curves, no group below 4096 bits.
const KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::DH_G16_SHA512,
    kex::DH_G18_SHA512,
    kex::EXTENSION_SUPPORT_AS_SERVER,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
];

/// AES-GCM first, and without a MAC of its own nothing in CBC.
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_128_GCM,
    cipher::AES_256_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_CTR,
    cipher::AES_192_CTR,
    cipher::AES_128_CTR,
];

const MACS: &[mac::Name] = &[mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM, mac::HMAC_SHA256, mac::HMAC_SHA512];

/// Host keys, and the `server-sig-algs` (RFC 8308 section 3.1) that tell a client what it may sign with: no SHA-1, but
/// security keys.
const KEYS: &[Algorithm] = &[
    Algorithm::Ed25519,
    Algorithm::SkEd25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::SkEcdsaSha2NistP256,
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];

/// Bytes in one direction after which we change keys unasked: OpenSSH's own bound for ciphers with blocks of 16 bytes, 2^32
/// of them (RFC 4344 section 3.2), and far below 2^32 packets, after which nonces would come again.
///
/// Clients may change keys earlier (RFC 4253 section 9 says at a gibibyte or an hour); OpenSSH's does at this bound too, or as its
/// `RekeyLimit` says.
const REKEY_BYTES: usize = 1 << 36;
/// No time after which we change keys unasked, as sshd (`RekeyLimit default none`).
const REKEY_TIME: Duration = Duration::MAX;

/// Public key only, no wait before a refusal (a key cannot be guessed), no compression, no end for idle sessions.
/// Bounds are the caller's.
pub fn config(host_key: PrivateKey) -> Config {
    Config {
        server_id: SshId::Standard(Cow::Borrowed(ID)),
        methods: (&[MethodKind::PublicKey][..]).into(),
        keys: vec![host_key],
        preferred: Preferred {
            kex: Cow::Borrowed(KEX),
            key: Cow::Borrowed(KEYS),
            cipher: Cow::Borrowed(CIPHERS),
            mac: Cow::Borrowed(MACS),
            compression: Cow::Borrowed(&[compression::NONE]),
            ..Preferred::DEFAULT
        },
        auth_rejection_time: Duration::ZERO,
        auth_rejection_time_initial: Some(Duration::ZERO),
        inactivity_timeout: None,
        limits: Limits { rekey_write_limit: REKEY_BYTES, rekey_read_limit: REKEY_BYTES, rekey_time_limit: REKEY_TIME },
        nodelay: true,
        ..Config::default()
    }
}

/// What a client is told that asked for `no-more-sessions@openssh.com` and opens one; sshd ends the connection too.
pub const BROKEN_PROMISE: &str = "a session was opened after the client had said that it would open no more";

/// Whether an RSA signature would use SHA-1 (RFC 8332 section 1): russh does not hold clients to [`KEYS`].
pub const fn is_sha1(algorithm: &Algorithm) -> bool {
    matches!(algorithm, Algorithm::Rsa { hash: None })
}

/// Whether `algorithm`, which a client names for it, is one that `key` signs with: russh 0.65 does not compare the two
/// before there is a signature.
pub fn is_of(algorithm: &Algorithm, key: &PublicKey) -> bool {
    match algorithm {
        Algorithm::Rsa { .. } => key.algorithm().is_rsa(),
        other => *other == key.algorithm(),
    }
}

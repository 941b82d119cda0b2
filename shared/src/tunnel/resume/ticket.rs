//! A strand's name and secret, and the proof that who resumes it also opened it.

use crate::hex;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use zeroize::Zeroizing;

/// Bytes of a strand's name.
pub const ID: usize = 16;
/// Bytes of a strand's secret.
pub const SECRET: usize = 32;
/// Bytes of a proof.
pub const PROOF: usize = 32;

/// Keeps proofs apart from all else that anybody could compute with the secret.
const CONTEXT: &[u8] = b"resume@drawbridge";
/// Bytes that SHA-256 works on at a time, to which HMAC fills up its key (RFC 2104 section 2).
const BLOCK: usize = 64;

/// A strand's name: by chance, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StrandId(pub [u8; ID]);

/// What only the two ends of a strand know.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<[u8; SECRET]>);

/// Both together, as `Open` carries them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The strand's name.
    pub id: StrandId,
    /// Its secret.
    pub secret: Secret,
}

impl Secret {
    /// Of bytes by chance.
    pub fn new(bytes: [u8; SECRET]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// For the one frame that carries it.
    pub(in crate::tunnel) fn expose(&self) -> &[u8; SECRET] {
        &self.0
    }
}

impl Ticket {
    /// Proves that leg number `leg`, on which `received` has come, is by who opened the strand.
    pub fn prove(&self, leg: u64, received: u64) -> [u8; PROOF] {
        self.mac(leg, received).finalize().into_bytes().into()
    }

    /// Whether `proof` is that; takes the same time for every wrong one.
    pub fn verifies(&self, leg: u64, received: u64, proof: &[u8; PROOF]) -> bool {
        self.mac(leg, received).verify_slice(proof).is_ok()
    }

    fn mac(&self, leg: u64, received: u64) -> Hmac<Sha256> {
        let mut key = Zeroizing::new([0; BLOCK]);
        key[..SECRET].copy_from_slice(self.secret.expose());
        let mut mac = Hmac::<Sha256>::new((&*key).into());
        [CONTEXT, &self.id.0, &leg.to_be_bytes(), &received.to_be_bytes()].iter().for_each(|part| mac.update(part));
        mac
    }
}

impl fmt::Display for StrandId {
    /// The first four bytes, for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0[..4]))
    }
}

impl fmt::Debug for StrandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StrandId({self})")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> Ticket {
        Ticket { id: StrandId([1; ID]), secret: Secret::new([2; SECRET]) }
    }

    #[test]
    fn a_proof_is_hmac_and_golden() {
        // python3 -c "import hmac;print(hmac.new(b'\2'*32,b'resume@drawbridge'+b'\1'*16+bytes([0]*7+[3]+[0]*7+[4]),'sha256').hexdigest())"
        assert_eq!(hex::encode(&ticket().prove(3, 4)), GOLDEN);
    }

    const GOLDEN: &str = "9d870071f0f9aa238c0bf5ba03fc47fb5229c1201116658163f4828f8e572205";

    #[test]
    fn a_proof_fits_one_leg_of_one_strand() {
        let proof = ticket().prove(3, 4);
        assert!(ticket().verifies(3, 4, &proof));
        assert!(!ticket().verifies(4, 4, &proof) && !ticket().verifies(3, 5, &proof));
        assert!(!Ticket { id: StrandId([9; ID]), ..ticket() }.verifies(3, 4, &proof));
        assert!(!Ticket { secret: Secret::new([9; SECRET]), ..ticket() }.verifies(3, 4, &proof));
        assert!(!ticket().verifies(3, 4, &[0; PROOF]));
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", ticket()), "Ticket { id: StrandId(01010101), secret: .. }");
    }
}

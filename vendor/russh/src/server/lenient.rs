//! Signatures as clients write them, which is not always as RFC 5656 has them.

use std::borrow::Cow;

use ssh_encoding::{Decode, Encode, Reader};
use ssh_key::{Mpint, Signature};

use crate::Error;
use crate::parsing::ensure_end;

/// The signature in `blob`: `string algorithm, string signature`, and for security keys more.
pub(super) fn parse(blob: &[u8]) -> Result<Signature, Error> {
    let blob = shortest(blob)?;
    let mut reader = &blob[..];
    let signature = Signature::decode(&mut reader)?;
    ensure_end(&reader)?;
    Ok(signature)
}

/// `blob` with the two numbers of an ECDSA signature (RFC 5656 section 3.1.2) without zeros that need not be there: clients whose
/// keys are in a secure enclave write both as 32 bytes, which OpenSSH takes (`sshbuf_get_bignum2`).
fn shortest(blob: &[u8]) -> Result<Cow<'_, [u8]>, Error> {
    let mut rest = blob;
    let algorithm = Vec::<u8>::decode(&mut rest)?;
    if !algorithm.starts_with(b"ecdsa-sha2-") && !algorithm.starts_with(b"sk-ecdsa-sha2-") {
        return Ok(Cow::Borrowed(blob));
    }
    let numbers = Vec::<u8>::decode(&mut rest)?;
    let mut shorter = Vec::with_capacity(blob.len());
    algorithm.encode(&mut shorter)?;
    shortest_numbers(&numbers)?.encode(&mut shorter)?;
    shorter.extend_from_slice(rest);
    Ok(Cow::Owned(shorter))
}

fn shortest_numbers(mut numbers: &[u8]) -> Result<Vec<u8>, Error> {
    let mut shorter = Vec::with_capacity(numbers.len());
    for _ in 0..2 {
        let number = Vec::<u8>::decode(&mut numbers)?;
        if number.first().is_some_and(|first| first & 0x80 != 0) {
            // Less than nothing, as OpenSSH reads it.
            return Err(Error::CouldNotReadKey);
        }
        Mpint::from_positive_bytes(&number).encode(&mut shorter)?;
    }
    ensure_end(&numbers)?;
    Ok(shorter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(algorithm: &str, r: &[u8], s: &[u8], more: &[u8]) -> Vec<u8> {
        let mut numbers = Vec::new();
        r.encode(&mut numbers).unwrap();
        s.encode(&mut numbers).unwrap();
        let mut blob = Vec::new();
        algorithm.encode(&mut blob).unwrap();
        numbers.encode(&mut blob).unwrap();
        blob.extend_from_slice(more);
        blob
    }

    #[test]
    fn zeros_that_need_not_be_there_are_forgiven() {
        let (r, s) = ([&[0, 0xee][..], &[0x11; 31]].concat(), [&[0][..], &[0x22; 31]].concat());
        let strict = blob("ecdsa-sha2-nistp256", &r, &s[1..], &[]);
        assert_eq!(parse(&blob("ecdsa-sha2-nistp256", &r, &s, &[])).unwrap(), parse(&strict).unwrap());
        assert_eq!(shortest(&strict).unwrap(), strict);
    }

    #[test]
    fn what_a_security_key_adds_stays() {
        let more = [1, 0, 0, 0, 7];
        let lax = blob("sk-ecdsa-sha2-nistp256@openssh.com", &[0, 1], &[0x7f; 32], &more);
        let strict = blob("sk-ecdsa-sha2-nistp256@openssh.com", &[1], &[0x7f; 32], &more);
        assert_eq!(shortest(&lax).unwrap(), strict);
    }

    #[test]
    fn what_is_no_signature_is_none() {
        let good = blob("ecdsa-sha2-nistp256", &[1; 32], &[2; 32], &[]);
        for length in 0..good.len() {
            assert!(parse(&good[..length]).is_err(), "{length}");
        }
        assert!(parse(&blob("ecdsa-sha2-nistp256", &[0x80; 32], &[2; 32], &[])).is_err());
        assert!(parse(&blob("ecdsa-sha2-nistp256", &[1; 32], &[2; 32], &[0])).is_err());
        assert!(parse(&blob("webauthn-sk-ecdsa-sha2-nistp256@openssh.com", &[1; 32], &[2; 32], &[0])).is_err());
    }
}

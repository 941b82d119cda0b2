//! Seeds changed by chance that is the same every time: flips, cuts, doublings, splices, and words that formats know.

/// What parsers stumble over.
const WORDS: [&[u8]; 18] = [
    b"\0",
    b"\n",
    b"\r\n",
    b" ",
    b"\t",
    b".",
    b"-",
    b"0",
    b"\"",
    b",",
    b"ws-",
    b"dbu_",
    b"SHA256:",
    b"ssh-rsa ",
    b"\xff\xff\xff\xff",
    b"\0\0\0\x01",
    "\u{a0}".as_bytes(),
    b"-----BEGIN SSH SIGNATURE-----",
];

/// xorshift64: enough to wander with.
pub(crate) struct Mutator(u64);

impl Mutator {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// One of `seeds`, changed in one to three places.
    pub(crate) fn change(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = self.pick(seeds).clone();
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len() + 1);
            match self.below(6) {
                0 => self.flip(&mut bytes, at),
                1 => bytes.truncate(at),
                2 => drop(bytes.splice(at.., self.pick(seeds).iter().skip(at).copied())),
                3 => drop(bytes.splice(at..at, self.pick(&WORDS).iter().copied())),
                4 => self.double(&mut bytes, at),
                _ => self.remove(&mut bytes, at),
            }
        }
        bytes
    }

    fn flip(&mut self, bytes: &mut [u8], at: usize) {
        let bit = 1 << self.below(8);
        bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= bit);
    }

    fn double(&mut self, bytes: &mut Vec<u8>, at: usize) {
        let end = at + self.below(bytes.len() - at + 1);
        let copy = bytes[at..end].to_vec();
        bytes.splice(at..at, copy);
    }

    fn remove(&mut self, bytes: &mut Vec<u8>, at: usize) {
        let end = at + self.below((bytes.len() - at).min(8) + 1);
        bytes.drain(at..end);
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

//! Below which number nothing is believed: that of what was believed last, as long as a key that signed it is trusted.

use crate::{
    id::SnapshotSeq,
    signed::{self, TrustRoots},
};
use serde::de::IgnoredAny;
use std::sync::Arc;

/// What was believed last, as it was signed; nothing at first.
#[derive(Debug, Default)]
pub struct Floor(Option<Believed>);

#[derive(Debug)]
struct Believed {
    text: Arc<str>,
    seq: SnapshotSeq,
    roots: TrustRoots,
}

impl Floor {
    /// `text` is number `seq`, believed by `roots`.
    pub const fn at(seq: SnapshotSeq, text: Arc<str>, roots: TrustRoots) -> Self {
        Self(Some(Believed { text, seq, roots }))
    }

    /// The number, for whoever trusts `roots` now. What only keys signed that were trusted then is no guard: whoever stole one of them
    /// may have signed the highest number there is, and nothing would be believed ever after.
    pub fn seq(&self, roots: &TrustRoots, namespace: &str) -> SnapshotSeq {
        let stands = |believed: &&Believed| {
            believed.roots == *roots || signed::verify::<IgnoredAny>(&believed.text, roots, namespace).is_ok()
        };
        self.0.as_ref().filter(stands).map_or(SnapshotSeq(0), |believed| believed.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::identity::Identity;

    #[test]
    fn a_number_stands_as_long_as_anybody_who_signed_it_is_trusted() {
        let key = |seed| Identity::from_seed(&[seed; 32]);
        let roots = |seed| key(seed).public().to_line().parse::<TrustRoots>().unwrap();
        let text = signed::sign(&[key(1).ssh(), key(2).ssh()], "demo@drawbridge", &7).unwrap();
        let floor = Floor::at(SnapshotSeq(7), text.into(), roots(1));
        let seq = |roots| floor.seq(&roots, "demo@drawbridge").0;
        assert_eq!((seq(roots(1)), seq(roots(2)), seq(roots(3))), (7, 7, 0));
        assert_eq!(Floor::default().seq(&roots(1), "demo@drawbridge").0, 0);
    }
}

//! Whose signatures count: the pinned file, read again whenever it is needed, and the keys that the last believed document
//! announced, so that the edge can roll its key while nobody here is restarted.

use super::state_dir::StateDir;
use crate::signed::TrustRoots;
use std::{fs, path::PathBuf};
use tracing::{info, warn};

/// File of the state folder that holds the announced keys.
const ANNOUNCED: &str = "announced-signers";
/// Longest such file: two lines of 80 bytes.
const MAX_ANNOUNCED: u64 = 4096;

/// The `--trust` file, which was good when it was read first.
#[derive(Clone, Debug)]
pub struct Pinned {
    file: PathBuf,
    roots: TrustRoots,
}

/// The keys that are trusted now.
#[derive(Debug)]
pub struct Trust {
    pinned: Pinned,
    announced: Vec<String>,
    state: StateDir,
    trouble: Option<String>,
}

impl Pinned {
    /// Reads `file`, or says what is wrong with it.
    pub fn read(file: PathBuf) -> Result<Self, String> {
        let roots = read(&file)?;
        Ok(Self { file, roots })
    }
}

fn read(file: &PathBuf) -> Result<TrustRoots, String> {
    let text = fs::read_to_string(file).map_err(|fault| format!("--trust {}: {fault}", file.display()))?;
    text.parse().map_err(|fault| format!("--trust {}: {fault}", file.display()))
}

impl Trust {
    /// `pinned`, and what was announced before the last stop.
    pub fn open(pinned: Pinned, state: &StateDir) -> Self {
        let announced = state.read(ANNOUNCED, MAX_ANNOUNCED).unwrap_or_else(|fault| {
            warn!(%fault, "only the pinned keys are trusted");
            None
        });
        let announced = String::from_utf8_lossy(&announced.unwrap_or_default()).lines().map(str::to_owned).collect();
        Self { pinned, announced, state: state.clone(), trouble: None }
    }

    /// Whom to believe the next document. A file that became unreadable counts as it was.
    pub fn roots(&mut self) -> TrustRoots {
        match read(&self.pinned.file) {
            Ok(roots) => {
                if roots != self.pinned.roots {
                    info!(file = %self.pinned.file.display(), "the pinned keys have changed");
                }
                self.pinned.roots = roots;
                self.trouble = None;
            }
            Err(fault) => self.complain(fault),
        }
        self.pinned.roots.with(&self.announced)
    }

    /// A document that was believed announces `signers`: they replace those of the document before.
    pub fn follow(&mut self, signers: &[String]) {
        if self.announced == signers {
            return;
        }
        info!(signers = ?signers, "the edge announces its signing keys");
        self.announced = signers.to_vec();
        let text: String = signers.iter().flat_map(|line| [line, "\n"]).collect();
        if let Err(fault) = self.state.write(ANNOUNCED, text.as_bytes()).and_then(|()| self.state.sync()) {
            warn!(%fault, "the announced keys are trusted until the next start only");
        }
    }

    /// Once, not at every look.
    fn complain(&mut self, fault: String) {
        if self.trouble.as_ref() != Some(&fault) {
            warn!(%fault, "the pinned keys count as they were read last");
            self.trouble = Some(fault);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{native::identity::Identity, signed};

    struct Verifier {
        root: tempfile::TempDir,
        trust: Trust,
    }

    fn line(seed: u8) -> String {
        Identity::from_seed(&[seed; 32]).public().to_line()
    }

    impl Verifier {
        fn pinning(seed: u8) -> Self {
            let root = tempfile::tempdir().unwrap();
            fs::write(root.path().join("trust"), line(seed)).unwrap();
            let trust = open(&root);
            Self { root, trust }
        }

        fn restart(&mut self) {
            self.trust = open(&self.root);
        }

        /// Whether a document by `by` that announces `signers` is believed, and followed if so.
        fn believes(&mut self, by: &[u8], signers: &[u8]) -> bool {
            let keys: Vec<_> = by.iter().map(|seed| Identity::from_seed(&[*seed; 32]).ssh()).collect();
            let signers: Vec<_> = signers.iter().map(|seed| line(*seed)).collect();
            let text = signed::sign(&keys, "demo@drawbridge", &signers).unwrap();
            let read = signed::verify::<Vec<String>>(&text, &self.trust.roots(), "demo@drawbridge");
            read.is_ok_and(|signers| {
                self.trust.follow(&signers);
                true
            })
        }
    }

    fn open(root: &tempfile::TempDir) -> Trust {
        let pinned = Pinned::read(root.path().join("trust")).unwrap();
        Trust::open(pinned, &StateDir::open(&root.path().join("state")).unwrap())
    }

    #[test]
    fn a_key_is_rolled_without_touching_the_pinned_file() {
        let mut verifier = Verifier::pinning(1);
        for (by, signers) in [(&[1][..], &[1][..]), (&[1, 2], &[1, 2]), (&[2], &[2]), (&[2, 3], &[2, 3]), (&[3], &[3])] {
            assert!(verifier.believes(by, signers), "{by:?}");
            verifier.restart();
            assert!(verifier.believes(by, signers), "{by:?} after a restart");
        }
        assert!(!verifier.believes(&[2], &[2]), "announced no longer, and not pinned");
        assert!(verifier.believes(&[1], &[1]), "pinned");
    }

    #[test]
    fn a_forged_document_announces_nothing() {
        let mut verifier = Verifier::pinning(1);
        assert!(!verifier.believes(&[9], &[1, 9]));
        assert!(!verifier.believes(&[9], &[9]));
        verifier.restart();
        assert!(!verifier.believes(&[9], &[9]));
    }

    #[test]
    fn the_pinned_file_may_change_and_break_while_we_run() {
        let mut verifier = Verifier::pinning(1);
        let file = verifier.root.path().join("trust");
        fs::write(&file, line(4)).unwrap();
        assert!(verifier.believes(&[4], &[]));
        assert!(!verifier.believes(&[1], &[]));
        fs::write(&file, "garbage").unwrap();
        assert!(verifier.believes(&[4], &[]), "as it was read last");
    }
}

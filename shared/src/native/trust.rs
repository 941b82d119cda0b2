//! Whose signatures count: the pinned file, read again whenever it is needed, and the keys that the last believed document
//! announced, so that the edge can roll its key while nobody here is restarted. A pinned key that goes takes with it what was announced
//! while it was there.

use super::state_dir::StateDir;
use crate::signed::TrustRoots;
use std::{fs, path::PathBuf};
use tracing::{info, warn};

/// File of the state folder that holds the announced keys, and which were pinned then.
const ANNOUNCED: &str = "announced-signers";
/// Longest such file: seven hundred pinned keys.
const MAX_ANNOUNCED: u64 = 64 * 1024;
/// How a line of it begins that says what was pinned: no announced key's does, and a program that does not know it takes it for none.
const PINNED: &str = "pinned ";

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
    announced: Announced,
    state: StateDir,
    trouble: Option<String>,
}

/// What the last believed document announced.
#[derive(Debug)]
struct Announced {
    signers: Vec<String>,
    /// What was pinned when it was believed.
    by: TrustRoots,
}

impl Announced {
    /// From the file's text. One of a program before this says nothing of what was `pinned`, and is taken to have been believed by that.
    fn read(text: &str, pinned: &TrustRoots) -> Self {
        let (by, signers): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with(PINNED));
        let by: String = by.iter().flat_map(|line| [line.trim_start_matches(PINNED), "\n"]).collect();
        Self { signers: signers.into_iter().map(str::to_owned).collect(), by: by.parse().unwrap_or_else(|_| pinned.clone()) }
    }

    fn text(&self) -> String {
        let by = self.by.lines().map(|line| [PINNED, &line].concat());
        self.signers.iter().cloned().chain(by).flat_map(|line| [line, "\n".into()]).collect()
    }
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
        let text = announced.as_deref().map(String::from_utf8_lossy);
        let announced = Announced::read(text.as_deref().unwrap_or_default(), &pinned.roots);
        let trust = Self { pinned, announced, state: state.clone(), trouble: None };
        if text.is_some_and(|text| text != trust.announced.text()) {
            trust.save();
        }
        trust
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
        if !self.pinned.roots.cover(&self.announced.by) {
            info!("a pinned key is gone: what the edge announced while it was there is forgotten");
            self.announce(&[]);
        }
        self.pinned.roots.with(&self.announced.signers)
    }

    /// A document that was believed announces `signers`: they replace those of the document before.
    pub fn follow(&mut self, signers: &[String]) {
        let is_known = self.announced.signers == signers;
        if is_known && self.announced.by.cover(&self.pinned.roots) {
            return;
        }
        if !is_known {
            info!(signers = ?signers, "the edge announces its signing keys");
        }
        self.announce(signers);
    }

    fn announce(&mut self, signers: &[String]) {
        self.announced = Announced { signers: signers.to_vec(), by: self.pinned.roots.clone() };
        self.save();
    }

    fn save(&self) {
        let text = self.announced.text();
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

    impl Verifier {
        fn pins(&self, seeds: &[u8]) {
            let lines: String = seeds.iter().map(|seed| line(*seed) + " edge\n").collect();
            fs::write(self.root.path().join("trust"), lines).unwrap();
        }
    }

    #[test]
    fn a_pinned_key_that_goes_takes_with_it_what_it_announced() {
        for restarts in [false, true] {
            let mut verifier = Verifier::pinning(1);
            assert!(verifier.believes(&[1], &[1, 9]) && verifier.believes(&[9], &[1, 9]));
            verifier.pins(&[2]);
            if restarts {
                verifier.restart();
            }
            assert!(![1, 9].into_iter().any(|by| verifier.believes(&[by], &[1, 9])), "whoever stole 1 may have announced 9");
            assert!(verifier.believes(&[2], &[2, 3]), "and what comes announces anew");
            verifier.restart();
            assert!(verifier.believes(&[3], &[3]) && !verifier.believes(&[9], &[9]));
        }
    }

    #[test]
    fn a_key_is_rolled_and_pinned_at_leisure() {
        let mut verifier = Verifier::pinning(1);
        assert!(verifier.believes(&[1, 2], &[1, 2]) && verifier.believes(&[2], &[2]));
        verifier.pins(&[1, 2]);
        assert!(verifier.believes(&[2], &[2]));
        verifier.pins(&[2]);
        assert!(verifier.believes(&[2, 3], &[2, 3]) && verifier.believes(&[3], &[3]));
        verifier.pins(&[2, 7]);
        assert!(verifier.believes(&[3], &[3]), "a line more is nobody's end");
        verifier.restart();
        assert!(verifier.believes(&[3], &[3]));
        verifier.pins(&[2]);
        assert!(!verifier.believes(&[3], &[3]), "what was announced was believed beside 7");
    }

    #[test]
    fn what_a_program_before_this_announced_is_trusted_and_ends_too() {
        let mut verifier = Verifier::pinning(1);
        let file = verifier.root.path().join("state").join(ANNOUNCED);
        fs::write(&file, line(9) + "\n").unwrap();
        verifier.restart();
        assert!(verifier.believes(&[9], &[9]));
        verifier.pins(&[2]);
        verifier.restart();
        assert!(!verifier.believes(&[9], &[9]));
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

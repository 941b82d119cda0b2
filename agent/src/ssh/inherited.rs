//! What the agent's service was given for itself and its users' programs are not to have.

use drawbridge_shared::native::descriptors;
use rustix::{
    fs::{Mode, OFlags, open},
    io::write,
    process::{Resource, Rlimit, setrlimit},
};
use std::{ffi::CStr, fs};

/// How soon the kernel ends a process where memory runs out: -1000, never, to 1000.
const OOM_SCORE: &CStr = c"/proc/self/oom_score_adj";

/// Read in the agent, ready to be put down in a forked child.
#[derive(Debug)]
pub(super) struct Inherited {
    /// From being ended where memory runs out, as the way in to a machine should be.
    is_protected: bool,
    /// How many files may be open where that was raised: programs that look at each of them, or use select(2), rely on the soft limit.
    files: Option<Rlimit>,
}

impl Inherited {
    /// What this process has now.
    pub(super) fn of_this_process() -> Self {
        let score = OOM_SCORE.to_str().ok().and_then(|path| fs::read_to_string(path).ok());
        Self { is_protected: score.is_some_and(|score| is_protected(&score)), files: descriptors::given() }
    }

    /// Before the child becomes another account, which may not. What the kernel refuses stays as it is. System calls only.
    pub(super) fn put_down(&self) {
        if let Some(files) = self.files {
            let _refused = setrlimit(Resource::Nofile, files);
        }
        if self.is_protected
            && let Ok(score) = open(OOM_SCORE, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        {
            let _refused = write(score, b"0");
        }
    }
}

/// By what stands in [`OOM_SCORE`].
fn is_protected(score: &str) -> bool {
    score.trim().parse().is_ok_and(|score: i32| score < 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_protected_has_a_score_below_nought() {
        assert!(is_protected("-500\n") && is_protected("-1"));
        assert!(!is_protected("0\n") && !is_protected("200\n") && !is_protected(""));
    }

    /// A higher score stands for a lower one, which only some may have.
    #[test]
    fn a_score_is_put_down_where_it_protects_and_only_there() {
        let own = OOM_SCORE.to_str().unwrap();
        let put_down = |is_protected| {
            fs::write(own, "100").unwrap();
            Inherited { is_protected, files: None }.put_down();
            fs::read_to_string(own).unwrap()
        };
        let before = fs::read_to_string(own).unwrap();
        if before != "0\n" {
            return eprintln!("whoever started this process set its score, which it may not lower again");
        }
        let scores = [true, false].map(put_down);
        fs::write(own, before).unwrap();
        assert_eq!(scores, ["0\n", "100\n"]);
    }
}

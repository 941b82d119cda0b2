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
        let score: Option<i32> = score.and_then(|score| score.trim().parse().ok());
        Self { is_protected: score.is_some_and(|score| score < 0), files: descriptors::given() }
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

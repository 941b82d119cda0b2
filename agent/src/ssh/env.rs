//! Which variables a client may set, as sshd's AcceptEnv does.

use super::limits;

/// Name patterns (`*` and `?`) of the variables a client may set.
#[derive(Clone, Debug)]
pub struct EnvPolicy {
    accepted: Vec<String>,
}

/// Why a variable is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("the variable is not among those a client may set")]
    NotAccepted,
    #[error("the variable steers the loader or the C library")]
    Loader,
    #[error("the variable's name or value cannot stand in an environment")]
    Malformed,
}

const DEFAULT: [&str; 5] = ["LANG", "LC_*", "TERM", "COLORTERM", "GIT_*"];

/// What glibc itself drops for set-user-id programs, and Apple's spelling of it: refused whatever the policy says.
const LOADER: [&str; 14] = [
    "LD_*",
    "DYLD_*",
    "GCONV_PATH",
    "GETCONF_DIR",
    "GLIBC_TUNABLES",
    "HOSTALIASES",
    "LOCALDOMAIN",
    "LOCPATH",
    "MALLOC_*",
    "NIS_PATH",
    "NLSPATH",
    "RESOLV_HOST_CONF",
    "RES_OPTIONS",
    "TZDIR",
];

impl EnvPolicy {
    /// Accepts what matches one of `patterns`, loader variables excepted.
    pub fn new(patterns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { accepted: patterns.into_iter().map(Into::into).collect() }
    }

    /// Whether a client may set `name` to `value`.
    pub(super) fn check(&self, name: &str, value: &str) -> Result<(), Unfit> {
        let whole = !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0');
        if !whole || name.len() + value.len() > limits::ENV_BYTES {
            return Err(Unfit::Malformed);
        }
        if LOADER.iter().any(|pattern| matches(pattern, name)) {
            return Err(Unfit::Loader);
        }
        self.accepted.iter().any(|pattern| matches(pattern, name)).then_some(()).ok_or(Unfit::NotAccepted)
    }
}

impl Default for EnvPolicy {
    fn default() -> Self {
        Self::new(DEFAULT)
    }
}

/// Shell-like matching of `*` and `?`, without backtracking further than the last `*`.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    while let Some(&byte) = name.get(n) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&wanted) if wanted == b'?' || wanted == byte => (p, n) = (p + 1, n + 1),
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                (p, n) = (at + 1, from + 1);
            }
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|&byte| byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_takes_locale_colour_and_git() {
        let policy = EnvPolicy::default();
        for name in ["LANG", "LC_ALL", "LC_", "COLORTERM", "TERM", "GIT_AUTHOR_NAME"] {
            assert_eq!(policy.check(name, "x"), Ok(()), "{name}");
        }
        for name in ["PATH", "HOME", "XLANG", "LANGX", "lang", "SSH_TTY", "BASH_ENV"] {
            assert_eq!(policy.check(name, "x"), Err(Unfit::NotAccepted), "{name}");
        }
    }

    #[test]
    fn loader_variables_pass_no_policy() {
        let policy = EnvPolicy::new(["*"]);
        for name in ["LD_PRELOAD", "LD_LIBRARY_PATH", "LD_", "GLIBC_TUNABLES", "MALLOC_CHECK_", "DYLD_INSERT_LIBRARIES"] {
            assert_eq!(policy.check(name, "x"), Err(Unfit::Loader), "{name}");
        }
        assert_eq!(policy.check("MY_LD_PRELOAD", ""), Ok(()));
    }

    #[test]
    fn what_no_environment_can_hold_is_refused() {
        let policy = EnvPolicy::new(["*"]);
        for (name, value) in [("", "x"), ("A=B", "x"), ("A\0", "x"), ("A", "x\0y"), ("A", &*"x".repeat(32 * 1024))] {
            assert_eq!(policy.check(name, value), Err(Unfit::Malformed), "{name}");
        }
    }

    #[test]
    fn patterns_match_like_a_shells() {
        let yes = [("*", ""), ("*", "A"), ("A*", "A"), ("A?C", "ABC"), ("*_X", "A_X_X"), ("A*B*C", "AxBxBxC"), ("**", "A")];
        let no = [("", "A"), ("A?", "A"), ("A*B", "AxBx"), ("?", ""), ("A", "AB"), ("*X*Y", "YX")];
        assert!(yes.iter().all(|(pattern, name)| matches(pattern, name)));
        assert!(!no.iter().any(|(pattern, name)| matches(pattern, name)));
    }
}

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
    #[error("the variable steers the loader, the C library, a shell's start or what git runs")]
    Injects,
    #[error("the variable's name or value cannot stand in an environment")]
    Malformed,
}

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

/// What shells read before their first command: files to source, functions, options. Variables of interpreters
/// (`PYTHON*`, `PERL5*`, `NODE_OPTIONS`) are not here: they wait until the shell runs one, and a policy may want them.
const SHELL: [&str; 6] = ["BASH_ENV", "ENV", "ZDOTDIR", "SHELLOPTS", "BASHOPTS", "BASH_FUNC_*"];

/// What git runs, reads as configuration (which names programs to run) or writes to (a trace into `~/.ssh/rc` is a program too);
/// `GIT_*` is let in for who commits, `GIT_PROTOCOL` for how two gits talk.
const GIT: [&str; 22] = [
    "GITPERLLIB",
    "GIT_ALLOW_PROTOCOL",
    "GIT_ASKPASS",
    "GIT_COMMON_DIR",
    "GIT_CONFIG*",
    "GIT_DIFFTOOL*",
    "GIT_DIFF_TOOL",
    "GIT_DIR",
    "GIT_EDITOR",
    "GIT_EXEC_PATH",
    "GIT_EXTERNAL_DIFF",
    "GIT_MERGE_TOOL",
    "GIT_PAGER",
    "GIT_PROXY_COMMAND",
    "GIT_SEQUENCE_EDITOR",
    "GIT_SHELL_PATH",
    "GIT_SSH",
    "GIT_SSH_*",
    "GIT_TEMPLATE_DIR",
    "GIT_TEST_*",
    "GIT_TEXTDOMAINDIR",
    "GIT_TRACE*",
];

/// A pattern that no variable's name can match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("names of variables with * and ?, separated by commas")]
pub struct BadPattern;

impl EnvPolicy {
    /// What clients may set where nobody says otherwise: language, colours, who commits.
    pub const DEFAULT: &str = "LANG,LC_*,TERM,COLORTERM,GIT_*";

    /// The policy of a list such as [`Self::DEFAULT`]; an empty one accepts nothing.
    pub fn parse(list: &str) -> Result<Self, BadPattern> {
        let patterns = list.split(',').map(str::trim).filter(|_| !list.trim().is_empty());
        let fits =
            |pattern: &str| !pattern.is_empty() && !pattern.contains(|c: char| c.is_whitespace() || c.is_control() || c == '=');
        patterns.clone().all(fits).then(|| Self::new(patterns)).ok_or(BadPattern)
    }

    /// Accepts what matches one of `patterns`, except what runs code of the client's choice before the account's own
    /// shell (which may be `nologin` or `git-shell`) decides what is run.
    pub fn new(patterns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { accepted: patterns.into_iter().map(Into::into).collect() }
    }

    /// Whether a client may set `name` to `value`.
    pub(super) fn check(&self, name: &str, value: &[u8]) -> Result<(), Unfit> {
        let whole = !name.is_empty() && !name.contains(['=', '\0', char::REPLACEMENT_CHARACTER]) && !value.contains(&0);
        if !whole || name.len() + value.len() > limits::ENV_VALUE {
            return Err(Unfit::Malformed);
        }
        if LOADER.iter().chain(&SHELL).chain(&GIT).any(|pattern| matches(pattern, name)) {
            return Err(Unfit::Injects);
        }
        self.accepted.iter().any(|pattern| matches(pattern, name)).then_some(()).ok_or(Unfit::NotAccepted)
    }
}

impl Default for EnvPolicy {
    fn default() -> Self {
        Self::new(Self::DEFAULT.split(','))
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
            assert_eq!(policy.check(name, b"x"), Ok(()), "{name}");
        }
        for name in ["PATH", "HOME", "XLANG", "LANGX", "lang", "SSH_TTY", "PYTHONSTARTUP"] {
            assert_eq!(policy.check(name, b"x"), Err(Unfit::NotAccepted), "{name}");
        }
    }

    #[test]
    fn a_list_is_a_policy() {
        let policy = EnvPolicy::parse("EDITOR, MY_*").unwrap();
        assert_eq!((policy.check("MY_X", b""), policy.check("LANG", b"")), (Ok(()), Err(Unfit::NotAccepted)));
        assert_eq!(EnvPolicy::parse("").unwrap().check("LANG", b""), Err(Unfit::NotAccepted));
        for list in ["A,,B", "A B", "A=B", ","] {
            assert_eq!(EnvPolicy::parse(list).err(), Some(BadPattern), "{list}");
        }
    }

    #[test]
    fn what_injects_code_passes_no_policy() {
        let policy = EnvPolicy::new(["*", "LD_PRELOAD"]);
        let loader = ["LD_PRELOAD", "LD_LIBRARY_PATH", "LD_", "GLIBC_TUNABLES", "MALLOC_CHECK_", "DYLD_INSERT_LIBRARIES"];
        for name in loader.into_iter().chain(["BASH_ENV", "ENV", "ZDOTDIR", "SHELLOPTS", "BASH_FUNC_ls%%"]) {
            assert_eq!(policy.check(name, b"x"), Err(Unfit::Injects), "{name}");
        }
        for name in ["MY_LD_PRELOAD", "PYTHONPATH", "ENVIRONMENT", "EDITOR"] {
            assert_eq!(policy.check(name, b""), Ok(()), "{name}");
        }
    }

    #[test]
    fn git_is_told_who_commits_and_never_what_to_run() {
        let runs = concat!(
            "CONFIG CONFIG_COUNT CONFIG_KEY_0 CONFIG_VALUE_0 CONFIG_PARAMETERS CONFIG_GLOBAL CONFIG_SYSTEM EXEC_PATH SSH SSH_COMMAND ",
            "SSH_VARIANT PROXY_COMMAND ASKPASS EXTERNAL_DIFF EDITOR SEQUENCE_EDITOR PAGER TEMPLATE_DIR DIR COMMON_DIR ",
            "DIFFTOOL_EXTCMD DIFF_TOOL ALLOW_PROTOCOL TEST_FSMONITOR TRACE TRACE_PACKET TRACE2_EVENT TEXTDOMAINDIR"
        );
        for policy in [EnvPolicy::default(), EnvPolicy::new(["*"]), EnvPolicy::new(["GIT_SSH_COMMAND", "GIT_CONFIG_*"])] {
            for name in runs.split(' ').map(|name| format!("GIT_{name}")) {
                assert_eq!(policy.check(&name, b"x"), Err(Unfit::Injects), "{name}");
            }
        }
        for name in ["GIT_AUTHOR_NAME", "GIT_AUTHOR_DATE", "GIT_COMMITTER_EMAIL", "GIT_PROTOCOL", "GIT_TERMINAL_PROMPT"] {
            assert_eq!(EnvPolicy::default().check(name, b"x"), Ok(()), "{name}");
        }
    }

    #[test]
    fn what_no_environment_can_hold_is_refused() {
        let policy = EnvPolicy::new(["*"]);
        for (name, value) in [("", "x"), ("A=B", "x"), ("A\0", "x"), ("A", "x\0y"), ("A", &*"x".repeat(limits::ENV_VALUE))] {
            assert_eq!(policy.check(name, value.as_bytes()), Err(Unfit::Malformed), "{name}");
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

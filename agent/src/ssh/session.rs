//! What a session channel may do in which order: a pure state machine, without processes, terminals or russh.

use super::{
    env::{EnvPolicy, Unfit},
    executable::Executable,
    limits,
};

/// One session channel from its opening to its end.
#[derive(Debug, Default)]
pub(super) struct Session {
    running: bool,
    terminal: Option<String>,
    env: Vec<(String, Vec<u8>)>,
}

/// What a client asks to have run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// The account's login shell.
    Shell,
    /// A command line for the account's shell.
    Command(Vec<u8>),
    /// The agent itself, as the SFTP server.
    Sftp(Executable),
}

/// All that was agreed before a program starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Launch {
    pub(super) program: Program,
    /// The terminal's name, where there is a terminal.
    pub(super) term: Option<String>,
    /// Variables from the client, in its order.
    pub(super) env: Vec<(String, Vec<u8>)>,
}

/// Why a request on a session channel is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("the channel is closed")]
    Closed,
    #[error("a program already runs on this channel")]
    Running,
    #[error("no program runs on this channel")]
    NotRunning,
    #[error("the channel already has a terminal")]
    SecondTerminal,
    #[error("the channel has no terminal")]
    NoTerminal,
    #[error("the signal is not one that clients may send")]
    NoSuchSignal,
    #[error("the subsystem is not served")]
    NoSubsystem,
    #[error("the terminal's name is too long or has a NUL in it")]
    BadTerm,
    #[error("more variables than a session may set")]
    TooManyVariables,
    #[error(transparent)]
    Variable(#[from] Unfit),
}

impl Session {
    /// `pty-req`: whether a terminal may be made now.
    pub(super) fn may_have_terminal(&self, term: &str) -> Result<(), Refused> {
        self.preparing()?;
        if self.terminal.is_some() {
            return Err(Refused::SecondTerminal);
        }
        let fits = term.len() <= limits::TERM_BYTES && !term.contains('\0');
        fits.then_some(()).ok_or(Refused::BadTerm)
    }

    /// The terminal was made.
    pub(super) fn has_terminal(&mut self, term: &str) {
        self.terminal = Some(term.to_owned());
    }

    /// `env`.
    pub(super) fn set(&mut self, policy: &EnvPolicy, name: &str, value: &[u8]) -> Result<(), Refused> {
        self.preparing()?;
        policy.check(name, value)?;
        let held: usize = self.env.iter().map(|(name, value)| name.len() + value.len()).sum();
        if self.env.len() >= limits::ENV_VARIABLES || held + name.len() + value.len() > limits::ENV_BYTES {
            return Err(Refused::TooManyVariables);
        }
        self.env.push((name.to_owned(), value.to_owned()));
        Ok(())
    }

    /// `shell` or `exec`; one of them, once.
    pub(super) fn start(&mut self, program: Program) -> Result<Launch, Refused> {
        self.preparing()?;
        self.running = true;
        Ok(Launch { program, term: self.terminal.clone(), env: std::mem::take(&mut self.env) })
    }

    /// `window-change`: at any time, with a terminal.
    pub(super) fn may_resize(&self) -> Result<(), Refused> {
        self.terminal.is_some().then_some(()).ok_or(Refused::NoTerminal)
    }

    /// `signal`: while something runs.
    pub(super) fn may_signal(&self) -> Result<(), Refused> {
        self.running.then_some(()).ok_or(Refused::NotRunning)
    }

    fn preparing(&self) -> Result<(), Refused> {
        if self.running { Err(Refused::Running) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> (Session, EnvPolicy) {
        (Session::default(), EnvPolicy::default())
    }

    #[test]
    fn terminal_variables_and_program_become_one_launch() {
        let (mut session, policy) = session();
        session.set(&policy, "LANG", b"C.UTF-8").unwrap();
        session.may_have_terminal("xterm").unwrap();
        session.has_terminal("xterm");
        session.set(&policy, "LC_ALL", b"C").unwrap();
        let launch = session.start(Program::Command(b"make".to_vec())).unwrap();
        let env = vec![("LANG".into(), "C.UTF-8".into()), ("LC_ALL".into(), "C".into())];
        assert_eq!(launch, Launch { program: Program::Command(b"make".to_vec()), term: Some("xterm".into()), env });
    }

    #[test]
    fn nothing_is_prepared_once_a_program_runs() {
        let (mut session, policy) = session();
        session.start(Program::Shell).unwrap();
        assert_eq!(session.start(Program::Shell), Err(Refused::Running));
        assert_eq!(session.set(&policy, "LANG", b"C"), Err(Refused::Running));
        assert_eq!(session.may_have_terminal("xterm"), Err(Refused::Running));
    }

    #[test]
    fn one_terminal_at_most() {
        let (mut session, _) = session();
        assert_eq!(session.may_resize(), Err(Refused::NoTerminal));
        session.has_terminal("");
        assert_eq!(session.may_have_terminal("xterm"), Err(Refused::SecondTerminal));
        assert_eq!(session.may_resize(), Ok(()));
        session.start(Program::Shell).unwrap();
        assert_eq!(session.may_resize(), Ok(()));
    }

    #[test]
    fn a_terminal_that_failed_may_be_tried_again() {
        let (session, _) = session();
        assert_eq!(session.may_have_terminal("a\0b"), Err(Refused::BadTerm));
        assert_eq!(session.may_have_terminal(&"x".repeat(257)), Err(Refused::BadTerm));
        assert_eq!(session.may_have_terminal("xterm"), Ok(()));
    }

    #[test]
    fn signals_need_a_running_program() {
        let (mut session, _) = session();
        assert_eq!(session.may_signal(), Err(Refused::NotRunning));
        session.start(Program::Shell).unwrap();
        assert_eq!(session.may_signal(), Ok(()));
    }

    #[test]
    fn variables_are_counted() {
        let (mut session, policy) = session();
        for n in 0..limits::ENV_VARIABLES {
            session.set(&policy, &format!("LC_{n}"), b"").unwrap();
        }
        assert_eq!(session.set(&policy, "LANG", b""), Err(Refused::TooManyVariables));
    }

    #[test]
    fn all_variables_together_have_a_bound() {
        let (mut session, policy) = session();
        let large = [b'x'; 64 * 1024 - "LC_0".len()];
        for n in 0..8 {
            session.set(&policy, &format!("LC_{n}"), &large).unwrap();
        }
        assert_eq!(session.set(&policy, "LANG", b"x"), Err(Refused::TooManyVariables));
    }
}

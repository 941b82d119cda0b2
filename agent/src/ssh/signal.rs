//! The signals that have a name in SSH (RFC 4254 section 6.9), and sshd's USR2.

use russh::Sig;
use rustix::process::Signal;

/// The signal a client means. ILL is left out, which nobody asks a program with.
pub(super) fn from_client(sig: &Sig) -> Option<Signal> {
    Some(match sig {
        Sig::ABRT => Signal::ABORT,
        Sig::ALRM => Signal::ALARM,
        Sig::FPE => Signal::FPE,
        Sig::HUP => Signal::HUP,
        Sig::INT => Signal::INT,
        Sig::KILL => Signal::KILL,
        Sig::PIPE => Signal::PIPE,
        Sig::QUIT => Signal::QUIT,
        Sig::SEGV => Signal::SEGV,
        Sig::TERM => Signal::TERM,
        Sig::USR1 => Signal::USR1,
        Sig::Custom(name) if name == "USR2" => Signal::USR2,
        Sig::ILL | Sig::Custom(_) => return None,
    })
}

/// How `exit-signal` names signal number `raw`; sshd's catch-all for what SSH has no name for.
pub(super) fn to_client(raw: i32) -> Sig {
    let custom = |name: &str| Sig::Custom(name.to_owned());
    match Signal::from_named_raw(raw) {
        Some(Signal::ABORT) => Sig::ABRT,
        Some(Signal::ALARM) => Sig::ALRM,
        Some(Signal::FPE) => Sig::FPE,
        Some(Signal::HUP) => Sig::HUP,
        Some(Signal::ILL) => Sig::ILL,
        Some(Signal::INT) => Sig::INT,
        Some(Signal::KILL) => Sig::KILL,
        Some(Signal::PIPE) => Sig::PIPE,
        Some(Signal::QUIT) => Sig::QUIT,
        Some(Signal::SEGV) => Sig::SEGV,
        Some(Signal::TERM) => Sig::TERM,
        Some(Signal::USR1) => Sig::USR1,
        Some(Signal::USR2) => custom("USR2"),
        _ => custom("SIG@openssh.com"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(sig: &Sig) -> String {
        format!("{sig:?}")
    }

    #[test]
    fn what_comes_in_goes_out_under_the_same_name() {
        let usr2 = Sig::Custom("USR2".into());
        for sig in [Sig::ABRT, Sig::ALRM, Sig::FPE, Sig::HUP, Sig::INT, Sig::KILL, Sig::PIPE, Sig::QUIT, Sig::TERM, usr2] {
            assert_eq!(name(&to_client(from_client(&sig).unwrap().as_raw())), name(&sig));
        }
    }

    #[test]
    fn names_that_ssh_lacks() {
        let other = name(&Sig::Custom("SIG@openssh.com".into()));
        assert_eq!(name(&to_client(Signal::BUS.as_raw())), other);
        assert_eq!(name(&to_client(34)), other);
        assert!(from_client(&Sig::Custom("STOP".into())).is_none());
    }
}

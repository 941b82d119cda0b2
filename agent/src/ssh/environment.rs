//! The environment a program starts with: nothing of the agent's, the client's variables, then sshd's own.

use super::{Peer, account::Account, session::Launch};
use std::{ffi::OsString, os::unix::ffi::OsStringExt};

/// Debian's sshd's default for ordinary accounts.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/games";
/// The same for the superuser.
const SUPERUSER_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where mail would be; sshd sets it where PAM does not.
const MAIL: &str = "/var/mail";

/// The variables of one session, later ones outdoing earlier ones.
pub(super) fn of(account: &Account, peer: &Peer, launch: &Launch, tty: Option<&str>) -> Vec<(String, OsString)> {
    let (client, server) = (peer.client, peer.server);
    let (from, to) = (client.ip().to_canonical(), server.ip().to_canonical());
    let mut all: Vec<_> = launch.env.iter().map(|(name, value)| (name.clone(), OsString::from_vec(value.clone()))).collect();
    let mut set = |name: &str, value: OsString| all.push((name.to_owned(), value));
    set("USER", account.name.clone().into());
    set("LOGNAME", account.name.clone().into());
    set("HOME", account.home.clone().into());
    set("MAIL", format!("{MAIL}/{}", account.name).into());
    set("SHELL", account.shell.clone().into());
    set("PATH", if account.uid == 0 { SUPERUSER_PATH } else { PATH }.into());
    set("SSH_CLIENT", format!("{from} {} {}", client.port(), server.port()).into());
    set("SSH_CONNECTION", format!("{from} {} {to} {}", client.port(), server.port()).into());
    if let Some(zone) = std::env::var_os("TZ") {
        set("TZ", zone);
    }
    if let Some(tty) = tty {
        set("SSH_TTY", tty.into());
    }
    if let Some(term) = launch.term.as_ref().filter(|term| !term.is_empty()) {
        set("TERM", term.into());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::session::Program;
    use std::collections::HashMap;

    fn variables(uid: u32, term: Option<&str>, env: &[(&str, &str)]) -> HashMap<String, OsString> {
        let account = Account {
            name: "dev".into(),
            uid,
            gid: 1,
            home: "/home/dev".into(),
            shell: "/bin/sh".into(),
            tty: None,
            assumed: None,
        };
        let peer = Peer::new("[::ffff:192.0.2.7]:5555".parse().unwrap());
        let env = env.iter().map(|&(name, value)| (name.to_owned(), value.as_bytes().to_owned())).collect();
        let launch = Launch { program: Program::Shell, term: term.map(str::to_owned), env };
        of(&account, &peer, &launch, term.map(|_| "/dev/pts/9")).into_iter().collect()
    }

    #[test]
    fn a_session_knows_who_it_is_and_where_it_comes_from() {
        let all = variables(1000, None, &[]);
        assert_eq!(all["USER"], "dev");
        assert_eq!(all["HOME"], "/home/dev");
        assert_eq!(all["MAIL"], "/var/mail/dev");
        assert_eq!(all["PATH"], PATH);
        assert_eq!(all["SSH_CLIENT"], "192.0.2.7 5555 22");
        assert_eq!(all["SSH_CONNECTION"], "192.0.2.7 5555 127.0.0.1 22");
        assert!(!all.contains_key("SSH_TTY") && !all.contains_key("TERM"));
    }

    #[test]
    fn a_terminal_brings_its_name_and_type() {
        let all = variables(0, Some("xterm"), &[("TERM", "dumb"), ("LANG", "C")]);
        assert_eq!((&all["SSH_TTY"], &all["TERM"], &all["LANG"]), (&"/dev/pts/9".into(), &"xterm".into(), &"C".into()));
        assert_eq!(all["PATH"], SUPERUSER_PATH);
    }

    #[test]
    fn clients_cannot_rename_the_account() {
        assert_eq!(variables(1000, None, &[("HOME", "/tmp"), ("USER", "root")])["HOME"], "/home/dev");
    }
}

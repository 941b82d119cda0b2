//! Starts a session's program; the only file with unsafe code, for what happens between fork and exec.

use super::{
    account::Account,
    executable::Executable,
    session::{Launch, Program},
};
use rustix::{
    fs::{Access, CWD, Mode, OFlags, access, openat},
    process::{ioctl_tiocsctty, setsid},
};
use std::{
    ffi::{OsStr, OsString},
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::process::{Child, Command};

/// The highest of the classic signals; the C library keeps the ones above for itself.
const LAST_SIGNAL: libc::c_int = 31;

/// Starts `launch` as `account` in a session and process group of its own: on `terminal`, or with three pipes.
pub(super) fn spawn(
    account: &Account,
    launch: &Launch,
    environment: Vec<(String, OsString)>,
    terminal: Option<OwnedFd>,
) -> io::Result<Child> {
    let mut command = Command::new(file(account, &launch.program));
    arguments(&mut command, &account.shell, &launch.program);
    command.env_clear().envs(environment);
    command.current_dir(if missing_home(account).is_some() { Path::new("/") } else { &account.home });
    let has_terminal = terminal.is_some();
    wire(&mut command, terminal)?;
    before_exec(&mut command, has_terminal);
    command.spawn()
}

/// Why the session cannot begin in its home folder, in sshd's words.
pub(super) fn missing_home(account: &Account) -> Option<String> {
    let home = &account.home;
    let enter = openat(CWD, home, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let fault = enter.map(drop).and_then(|()| access(home, Access::EXEC_OK)).err()?;
    Some(format!("Could not chdir to home directory {}: {}\n", home.display(), reason(&fault.into())))
}

/// An error as C programs print it, without the number that Rust appends.
pub(super) fn reason(fault: &io::Error) -> String {
    let text = fault.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// What is executed: no shell for SFTP, whose start-up files might write into the protocol.
pub(super) fn file(account: &Account, program: &Program) -> PathBuf {
    match program {
        Program::Shell | Program::Command(_) => account.shell.clone(),
        Program::Sftp(agent) => agent.path(),
    }
}

/// `-bash` for a login shell, `bash -c <command>` for a command.
fn arguments(command: &mut Command, shell: &Path, program: &Program) {
    let name = shell.file_name().unwrap_or(shell.as_os_str());
    match program {
        Program::Shell => {
            let mut dashed = OsString::from("-");
            dashed.push(name);
            command.arg0(dashed);
        }
        Program::Command(line) => {
            command.arg0(name).arg("-c").arg(OsStr::from_bytes(line));
        }
        Program::Sftp(_) => {
            command.arg0(Executable::NAME).arg(Executable::SFTP);
        }
    }
}

fn wire(command: &mut Command, terminal: Option<OwnedFd>) -> io::Result<()> {
    match terminal {
        None => command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()),
        Some(slave) => command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave),
    };
    Ok(())
}

#[allow(unsafe_code)]
fn before_exec(command: &mut Command, has_terminal: bool) {
    // SAFETY: the closure runs in the forked child of a threaded process, so it may only do what is async-signal-safe.
    // It makes system calls through functions that neither allocate nor lock, and captures one `bool`.
    unsafe {
        command.pre_exec(move || {
            setsid()?;
            if has_terminal {
                ioctl_tiocsctty(rustix::stdio::stdin())?;
            }
            reset_signals();
            keep_descriptors_to_ourselves();
            Ok(())
        });
    }
}

/// An agent started by `nohup` or by a script's `&` ignores signals, and ignoring is inherited: Ctrl-C would do nothing.
#[allow(unsafe_code)]
fn reset_signals() {
    for signal in 1..=LAST_SIGNAL {
        // SAFETY: installs no handler; for the two signals that cannot be changed it fails without effect.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// What the agent itself was started with may be open without close-on-exec. Rust's own error pipe stays open until exec.
#[allow(unsafe_code)]
fn keep_descriptors_to_ourselves() {
    // SAFETY: takes three integers and only sets a flag on descriptors; kernels before 5.11 refuse it, which harms nothing.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(home: &str) -> Account {
        Account { name: "dev".into(), uid: 0, gid: 0, home: home.into(), shell: "/bin/sh".into() }
    }

    async fn output(line: &str, env: &[(&str, &str)]) -> String {
        let launch = Launch { program: Program::Command(line.into()), term: None, env: vec![] };
        let env = env.iter().map(|&(name, value)| (name.to_owned(), value.into())).collect();
        let child = spawn(&account("/"), &launch, env, None).unwrap();
        String::from_utf8(child.wait_with_output().await.unwrap().stdout).unwrap()
    }

    #[tokio::test]
    async fn a_program_leads_a_session_of_its_own() {
        let ids = output("set -- $(cat /proc/$$/stat); echo $1 $5 $6", &[("PATH", "/usr/bin:/bin")]).await;
        let ids: Vec<_> = ids.split_whitespace().collect();
        assert!(ids.len() == 3 && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }

    #[tokio::test]
    async fn nothing_but_the_given_environment_is_there() {
        let seen = output("exec /usr/bin/env", &[("A", "1")]).await;
        assert_eq!(seen.lines().filter(|line| !line.starts_with("PWD=")).collect::<Vec<_>>(), ["A=1"]);
    }

    #[tokio::test]
    async fn no_descriptor_is_inherited() {
        let _kept = rustix::fs::open("/", OFlags::RDONLY, Mode::empty()).unwrap();
        assert_eq!(output("for fd in /proc/self/fd/*; do :; done; cd /proc/self/fd; echo *", &[]).await.trim(), "0 1 2 3");
    }

    #[test]
    fn a_missing_home_is_told_as_sshd_does() {
        let told = missing_home(&account("/nonexistent")).unwrap();
        assert_eq!(told, "Could not chdir to home directory /nonexistent: No such file or directory\n");
        assert_eq!(missing_home(&account("/")), None);
    }
}

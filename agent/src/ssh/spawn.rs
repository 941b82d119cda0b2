//! Starts a session's program; the only file with unsafe code, for what happens between fork and exec.

use super::{
    account::Account,
    call::Call,
    executable::Executable,
    identity::{Identity, mask_files},
    inherited::Inherited,
};
use rustix::{
    io::Errno,
    process::{chdir, ioctl_tiocsctty, setsid},
};
use std::{
    ffi::{CString, OsString},
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    process::Stdio,
};
use tokio::process::{Child, Command};

/// The highest of the classic signals; the C library keeps the ones above for itself.
const LAST_SIGNAL: libc::c_int = 31;

/// Starts what `call` says as `account` in a session and process group of its own: on `terminal`, or with three pipes. A home
/// folder that cannot be entered is told on standard error.
pub(super) fn spawn(
    account: &Account,
    call: Call,
    environment: Vec<(String, OsString)>,
    terminal: Option<OwnedFd>,
) -> io::Result<Child> {
    let mut command = Command::new(call.file);
    command.arg0(call.name).args(call.arguments).env_clear().envs(environment).current_dir("/");
    let child = Preparation {
        inherited: Inherited::of_this_process(),
        identity: Identity::of(account),
        home: Home::of(account)?,
        kept: call.kept,
        has_terminal: terminal.is_some(),
    };
    wire(&mut command, terminal)?;
    before_exec(&mut command, child);
    command.spawn()
}

/// An error as C programs print it, without the number that Rust appends.
pub(super) fn reason(fault: &io::Error) -> String {
    let text = fault.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn wire(command: &mut Command, terminal: Option<OwnedFd>) -> io::Result<()> {
    match terminal {
        None => command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()),
        Some(slave) => command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave),
    };
    Ok(())
}

/// All that the forked child needs; it may not allocate.
struct Preparation {
    inherited: Inherited,
    identity: Option<Identity>,
    home: Home,
    kept: Option<Executable>,
    has_terminal: bool,
}

/// Where a session begins, and how it is told that it does not.
struct Home {
    path: CString,
    complaint: Vec<u8>,
}

impl Home {
    fn of(account: &Account) -> io::Result<Self> {
        let path = CString::new(account.home.as_os_str().as_bytes())?;
        let complaint = format!("Could not chdir to home directory {}: ", account.home.display()).into_bytes();
        Ok(Self { path, complaint })
    }

    /// As sshd, which goes there as the user and stays in `/` where that fails.
    fn enter(&self) {
        if let Err(fault) = chdir(self.path.as_c_str()) {
            for piece in [&self.complaint, words(fault), b"\n"] {
                let _closed = rustix::io::write(rustix::stdio::stderr(), piece);
            }
        }
    }
}

/// `strerror` for a forked child: it may not ask the C library, which allocates.
fn words(fault: Errno) -> &'static [u8] {
    match fault {
        Errno::NOENT => b"No such file or directory",
        Errno::ACCESS => b"Permission denied",
        Errno::NOTDIR => b"Not a directory",
        Errno::LOOP => b"Too many levels of symbolic links",
        Errno::NAMETOOLONG => b"File name too long",
        Errno::STALE => b"Stale file handle",
        _ => b"Input/output error",
    }
}

impl Preparation {
    /// The terminal and the identity before anything of the user's is touched.
    fn prepare(&self) -> io::Result<()> {
        setsid()?;
        if self.has_terminal {
            ioctl_tiocsctty(rustix::stdio::stdin())?;
        }
        mask_files();
        self.inherited.put_down();
        if let Some(identity) = &self.identity {
            if !self.has_terminal {
                identity.take_pipes();
            }
            identity.take_on()?;
        }
        self.home.enter();
        reset_signals();
        keep_descriptors_to_ourselves();
        self.kept.as_ref().map_or(Ok(()), Executable::keep)
    }
}

#[allow(unsafe_code)]
fn before_exec(command: &mut Command, child: Preparation) {
    // SAFETY: the closure runs in the forked child of a threaded process, so it may only do what is async-signal-safe.
    // It makes system calls on what it captured, through functions that neither allocate nor lock.
    unsafe {
        command.pre_exec(move || child.prepare());
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
    use crate::ssh::{account::Assumed, executable::Executable, session::Program};
    use drawbridge_shared::native::descriptors;
    use rustix::{
        fs::{Mode, OFlags},
        process::{Resource, Rlimit, getrlimit, setrlimit},
    };
    use std::{fs, os::unix::fs::PermissionsExt, path::Path};

    fn account(home: &str) -> Account {
        Account { name: "dev".into(), uid: 0, gid: 0, home: home.into(), shell: "/bin/sh".into(), tty: None, assumed: None }
    }

    fn call(account: &Account, line: &str) -> Call {
        Call::of(account, &Program::Command(line.into()))
    }

    async fn output(line: &str, env: &[(&str, &str)]) -> String {
        let env = env.iter().map(|&(name, value)| (name.to_owned(), value.into())).collect();
        let child = spawn(&account("/"), call(&account("/"), line), env, None).unwrap();
        String::from_utf8(child.wait_with_output().await.unwrap().stdout).unwrap()
    }

    /// A shell that the machine does not list.
    fn unlisted(script: &str) -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let shell = folder.path().join("shell");
        fs::write(&shell, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&shell, fs::Permissions::from_mode(0o755)).unwrap();
        (folder, shell.display().to_string())
    }

    #[tokio::test]
    async fn a_shell_that_keeps_out_keeps_sftp_out() {
        let held = Executable::at(Path::new("/bin/echo")).unwrap();
        let sftp = |shell: &str| {
            let account = Account { shell: shell.into(), ..account("/") };
            let call = Call::of(&account, &Program::Sftp(held.clone()));
            spawn(&account, call, vec![], None).unwrap().wait_with_output()
        };
        assert_eq!(sftp("/bin/sh").await.unwrap().stdout, b"sftp-server\n");
        let refused = sftp("/usr/sbin/nologin").await.unwrap();
        assert!(!refused.status.success() && !refused.stdout.starts_with(b"sftp-server"), "{refused:?}");
        let (_folder, shell) = unlisted("echo not for you; exit 1");
        assert_eq!(sftp(&shell).await.unwrap().stdout, b"not for you\n");
        let (_folder, shell) = unlisted("echo $# $1; exec /bin/sh \"$@\"");
        assert_eq!(sftp(&shell).await.unwrap().stdout, b"2 -c\nsftp-server\n", "one that lets it through finds it");
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

    #[tokio::test]
    async fn programs_are_not_spared_where_memory_runs_out_as_the_agent_is() {
        let own = "/proc/self/oom_score_adj";
        let before = fs::read_to_string(own).unwrap();
        if fs::write(own, "-500").is_err() {
            return eprintln!("this process may not be protected: there is nothing to put down");
        }
        let seen = output("cat /proc/self/oom_score_adj", &[("PATH", "/usr/bin:/bin")]).await;
        fs::write(own, before).unwrap();
        assert_eq!(seen, "0\n");
    }

    #[tokio::test]
    async fn programs_may_open_as_many_files_as_the_agent_before_it_raised_its_limit() {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let few = current.unwrap_or(1024).min(1000);
        setrlimit(Resource::Nofile, Rlimit { current: Some(few), maximum }).unwrap();
        assert_eq!(descriptors::raise(), maximum);
        let hard = maximum.map_or_else(|| "unlimited".to_owned(), |most| most.to_string());
        assert_eq!(output("ulimit -Sn; ulimit -Hn", &[]).await, format!("{few}\n{hard}\n"));
    }

    #[tokio::test]
    async fn a_missing_home_is_told_as_sshd_does() {
        let nowhere = account("/nonexistent");
        let child = spawn(&nowhere, call(&nowhere, "/bin/pwd"), vec![], None).unwrap();
        let done = child.wait_with_output().await.unwrap();
        let told = "Could not chdir to home directory /nonexistent: No such file or directory\n";
        assert_eq!((done.stdout.as_slice(), done.stderr.as_slice()), (&b"/\n"[..], told.as_bytes()));
    }

    #[tokio::test]
    async fn another_account_is_taken_on_whole() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let assumed = Some(Assumed { groups: vec![4321, 4322] });
        let other = Account { uid: 4321, gid: 4321, assumed, ..account("/") };
        let call = call(&other, "grep -E '^(Uid|Gid|Groups|CapEff):' /proc/self/status; umask");
        let done =
            spawn(&other, call, vec![("PATH".into(), "/usr/bin:/bin".into())], None).unwrap().wait_with_output().await.unwrap();
        let seen = String::from_utf8(done.stdout).unwrap();
        let lines: Vec<_> = seen.lines().map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines[..4], ["4321 4321 4321 4321", "4321 4321 4321 4321", "4321 4322", "0000000000000000"], "{seen}");
        assert_eq!(seen.lines().last(), Some("0022"));
        assert!(rustix::process::geteuid().is_root(), "only the child changes");
    }
}

//! Commands without a terminal.

use super::Plain;
use crate::{
    Case, Named,
    run::{noise, run},
    scene::Scene,
};
use anyhow::Result;
use std::{ffi::OsString, os::unix::ffi::OsStringExt};

pub(super) const CASES: &[Plain] = &[
    ("exec::the_environment", environment),
    ("exec::clients_variables", client_variables),
    ("exec::a_long_command", long_command),
    ("exec::a_command_of_bytes", command_of_bytes),
    ("exec::variables_of_bytes", variables_of_bytes),
    ("exec::names_that_are_no_text", names_of_bytes),
    ("exec::killed_by_each_signal", killed),
    ("exec::input_ends", input_ends),
    ("exec::input_nobody_reads", unread_input),
    ("exec::no_input_at_all", no_input),
    ("exec::an_unknown_subsystem", unknown_subsystem),
];

/// What is blocked and ignored of the signals 1 to 31; the C library keeps those above to itself.
pub(super) const CLASSIC_SIGNALS: &str = "while read name mask; do case $name in SigBlk:|SigIgn:) \
                                          echo $name $((0x$mask & 0x7fffffff));; esac; done < /proc/$$/status";

/// One shell command each: what it prints, how it ends.
const COMMANDS: &[(&str, &str)] = &[
    ("streams_and_status", "echo out; echo err >&2; exit 7"),
    ("not_found", "no-such-program-here; echo $?"),
    ("not_found_alone", "no-such-program-here"),
    ("not_executable", "/etc/hostname"),
    ("a_folder", "/tmp"),
    ("syntax_error", "if then"),
    ("arguments", "tr '\\0' '|' < /proc/$$/cmdline; echo; echo \"$0|$-|$#\""),
    ("login_shell_or_not", "shopt -q login_shell; echo $?"),
    ("several_lines", "echo one\necho two\n\necho three"),
    ("a_leading_dash", "-n"),
    ("blanks_alone", "   "),
    ("a_comment", "# nothing"),
    ("working_folder", "pwd; pwd -P; echo \"$OLDPWD\""),
    ("umask", "umask"),
    ("limits", "ulimit -a"),
    ("groups", "id; groups"),
    ("descriptors", "for fd in 0 1 2; do readlink /proc/$$/fd/$fd | tr -d '0-9'; done"),
    ("standard_streams", "test -p /dev/stdin; echo $?; test -p /dev/stdout; echo $?; test -p /dev/stderr; echo $?"),
    ("signals", CLASSIC_SIGNALS),
    (
        "session_and_group",
        "set -- $(cat /proc/$$/stat); test $1 = $5 && echo leads its group; test $1 = $6 && echo leads its session; echo tty $7, $8",
    ),
    ("priority", "nice; cat /proc/self/oom_score_adj"),
    ("no_controlling_terminal", "(: > /dev/tty) 2>&1 | tail -c 30; tty"),
    ("raw_bytes", "printf 'a\\000\\377\\200\\r\\n\\n\\r'"),
    ("nothing_printed", "true"),
    ("false", "false"),
    ("status_255", "exit 255"),
    ("status_256_wraps", "sh -c 'exit 256'"),
    ("killed_child_of_the_shell", "(sh -c 'kill -9 $$'; echo $?) 2>/dev/null"),
    ("a_background_process_holds_the_output", "(sleep 1; echo late) & echo now; exit 3"),
    ("a_background_process_without_output", "sleep 30 </dev/null >/dev/null 2>&1 & echo $?"),
    ("output_closed_early", "exec >&- 2>&-; sleep 0.3; exit 4"),
    ("errors_closed_alone", "exec 2>&-; echo out; exit 5"),
    ("interleaved", "for n in 1 2 3 4 5 6 7 8 9; do echo o$n; echo e$n >&2; done"),
    ("much_on_both", "head -c 300000 /dev/zero; head -c 300000 /dev/zero | tr '\\0' e >&2; exit 6"),
    ("exec_replaces_the_shell", "exec sh -c 'echo replaced; exit 8'"),
    ("stopped_and_continued", "sh -c 'kill -STOP $$; echo went on' & sleep 0.2; kill -CONT $!; wait $!; echo $?"),
];

pub(super) fn commands() -> impl Iterator<Item = Named> {
    COMMANDS.iter().map(|(name, command)| (format!("openssh::exec::{name}"), Box::new(Command(command)) as Box<_>))
}

struct Command(&'static str);

impl Case for Command {
    fn play(&self, scene: &Scene<'_>) -> Result<()> {
        scene.exec("", self.0)
    }
}

/// What differs from login to login is its numbers.
pub(super) const SORTED: &str = "env -0 | sort -z | tr '\\0' '\\n' | sed -E '/^SSH_(CLIENT|CONNECTION)=/{s/ [0-9]+ ([0-9.:a-f]+ )/ <port> \\1/; s/( [0-9]+)+$/ <ports>/}; \
                                 s,^(SSH_TTY=/dev/pts/).*,\\1<n>,; /^_=/d'";

fn environment(scene: &Scene<'_>) -> Result<()> {
    scene.exec("", SORTED)
}

fn client_variables(scene: &Scene<'_>) -> Result<()> {
    let wished = "SetEnv=LANG=xx_YY LC_TEST=c COLORTERM=c GIT_AUTHOR_NAME=c TERM=c LD_PRELOAD=c PATH=c HOME=c USER=c SHELL=c \
                  BASH_ENV=c ENV=c IFS=c TZ=c FOO=c SSH_TTY=c SSH_CLIENT=c LC_EMPTY= LC_EQ=a=b";
    let mut ssh = scene.ssh(&["-n", "-o", wished]);
    ssh.arg(format!("{SORTED} | grep -v ^SSH"));
    scene.observe("", &mut ssh)
}

fn long_command(scene: &Scene<'_>) -> Result<()> {
    for length in [1_000, 30_000, 100_000] {
        scene.exec(&length.to_string(), &format!("printf %s {} | wc -c", "x".repeat(length)))?;
    }
    Ok(())
}

fn variables_of_bytes(scene: &Scene<'_>) -> Result<()> {
    let mut ssh = scene.ssh(&["-n", "-o", "SendEnv=LC_BYTES LC_LARGE"]);
    ssh.env("LC_BYTES", OsString::from_vec(b"a\xff\xfeb".to_vec())).env("LC_LARGE", "x".repeat(100_000));
    scene.observe("", ssh.arg("printf %s \"$LC_BYTES\" | od -An -tx1; printf %s \"$LC_LARGE\" | wc -c"))
}

/// Each is refused by itself, and costs the connection nothing.
fn names_of_bytes(scene: &Scene<'_>) -> Result<()> {
    let bytes = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    scene.observe("subsystem", scene.ssh(&["-n"]).arg("-s").arg(bytes(b"sf\xff")))?;
    let terminal = run(scene.ssh(&["-tt"]).env("TERM", bytes(b"x\xffy")).arg("echo on; exit 3"), b"")?;
    scene.outcome("terminal", &terminal);
    Ok(())
}

fn command_of_bytes(scene: &Scene<'_>) -> Result<()> {
    let command = OsString::from_vec(b"printf '%s' '\xff\xfe\xc3\xa4\x01\t' | od -An -tx1".to_vec());
    let mut ssh = scene.ssh(&["-n"]);
    scene.observe("", ssh.arg(command))
}

/// The client ends with 255 for each; asyncssh is told more.
fn killed(scene: &Scene<'_>) -> Result<()> {
    for signal in ["HUP", "INT", "QUIT", "ABRT", "KILL", "SEGV", "TERM", "USR1", "BUS", "STKFLT"] {
        scene.exec(signal, &format!("ulimit -c 0; echo before; kill -{signal} $$; echo after"))?;
    }
    Ok(())
}

fn input_ends(scene: &Scene<'_>) -> Result<()> {
    for length in [0, 1, 4096, 1 << 20] {
        let outcome = run(scene.ssh(&[]).arg("cat; echo; echo ended >&2; exit 9"), &noise(length))?;
        scene.outcome(&format!("{length} bytes"), &outcome);
    }
    Ok(())
}

fn unread_input(scene: &Scene<'_>) -> Result<()> {
    let input = noise(4 << 20);
    scene.outcome("head", &run(scene.ssh(&[]).arg("head -c 10; exit 4"), &input)?);
    scene.outcome("closed", &run(scene.ssh(&[]).arg("exec <&-; sleep 0.3; echo done; exit 5"), &input)?);
    scene.outcome("ignored", &run(scene.ssh(&[]).arg("exit 6"), &input)?);
    Ok(())
}

fn no_input(scene: &Scene<'_>) -> Result<()> {
    scene.observe("", scene.ssh(&["-n"]).arg("wc -c; exit 3"))
}

fn unknown_subsystem(scene: &Scene<'_>) -> Result<()> {
    let mut ssh = scene.side.client("ssh");
    scene.observe("", ssh.args(["-n", "-s", crate::side::TARGET, "no-such-subsystem"]))
}

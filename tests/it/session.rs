//! What runs in a workspace behaves as under sshd.

use crate::{Run::Shared, Test};
use anyhow::{Context, Result, ensure};
use e2e::{Session, Stack, pty::Terminal};
use rustix::termios::{Winsize, tcsetwinsize};
use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
};

pub(crate) const TESTS: &[Test] = &[
    ("session::exit_status_and_stderr_are_kept_apart", Shared(apart)),
    ("session::a_killed_command_is_a_signal", Shared(killed)),
    ("session::a_terminal_has_its_size_and_follows_it", Shared(terminal)),
    ("session::a_shell_reads_its_script", Shared(shell)),
    ("session::the_environment_is_a_logins", Shared(environment)),
    ("session::the_agents_token_is_out_of_reach", Shared(token)),
    ("session::two_sessions_share_a_connection", Shared(shared)),
    ("session::an_unknown_subsystem_is_refused", Shared(not_served)),
];

fn apart(world: &Stack) -> Result<()> {
    let done = world.user("alice")?.run("user@ws-796636", "echo out; echo err >&2; exit 7")?;
    ensure!(done.status == Some(7) && done.text() == "out\n" && done.err == "err\n", "{done:?}");
    Ok(())
}

/// ssh itself ends with 255 for a remote signal, and says nothing at this log level.
fn killed(world: &Stack) -> Result<()> {
    let done = world.user("alice")?.run("user@ws-796636", "echo before; kill -TERM $$")?;
    ensure!(done.status == Some(255) && done.text() == "before\n", "{done:?}");
    Ok(())
}

fn terminal(world: &Stack) -> Result<()> {
    let terminal = Terminal::new(33, 101)?;
    let mut ssh = world.user("alice")?.quiet_ssh();
    let script = "trap 'stty size; exit 5' WINCH; stty size; test -t 0 && echo tty $TERM; while :; do sleep 0.05; done";
    ssh.arg("-tt").arg("user@ws-796636").arg(script).env("TERM", "xterm-256color");
    let mut child = ssh.stdin(terminal.far.try_clone()?).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    let mut line = || -> Result<String> { Ok(lines.next().context("the output ended")??.trim().to_owned()) };
    ensure!(line()? == "33 101");
    ensure!(line()? == "tty xterm-256color");
    tcsetwinsize(&terminal.near, Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 })?;
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::WINCH)?;
    ensure!(line()? == "40 120");
    ensure!(child.wait()?.code() == Some(5));
    Ok(())
}

fn shell(world: &Stack) -> Result<()> {
    let mut ssh = world.user("alice")?.quiet_ssh();
    let mut child =
        ssh.arg("-T").arg("user@ws-796636").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().context("no stdin")?.write_all(b"echo from-$((20+3))\nexit 9\n")?;
    let done = child.wait_with_output()?;
    ensure!(done.status.code() == Some(9) && String::from_utf8_lossy(&done.stdout).ends_with("from-23\n"), "{done:?}");
    Ok(())
}

fn environment(world: &Stack) -> Result<()> {
    let mut ssh = world.user("alice")?.quiet_ssh();
    ssh.args(["-n", "-o", "SetEnv=LC_TEST=passed LD_PRELOAD=refused", "user@ws-796636"]);
    ssh.arg("echo $LC_TEST-$LD_PRELOAD; test $HOME = ~ && echo $USER-$LOGNAME; echo $SSH_CONNECTION | wc -w");
    let done = e2e::client::outcome(&mut ssh)?;
    let account = world.user("alice")?.run("user@ws-796636", "id -un")?.text();
    done.printed(&format!("passed-\n{0}-{0}\n4\n", account.trim()))
}

fn token(world: &Stack) -> Result<()> {
    let done = world.user("alice")?.run("user@ws-796636", "env | grep -c DRAWBRIDGE")?;
    ensure!(done.text() == "0\n", "{done:?}");
    Ok(())
}

fn shared(world: &Stack) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let control = format!("ControlPath={}", folder.path().join("c").display());
    let multiplexed = |options: &[&str]| {
        let mut ssh = world.user("alice")?.quiet_ssh();
        ssh.args(["-o", &control]).args(options).arg("user@ws-796636");
        Ok::<_, anyhow::Error>(ssh)
    };
    let mut first = multiplexed(&["-M"])?;
    let mut first = first.arg("echo ready; cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut output = BufReader::new(first.stdout.take().context("no output")?);
    output.read_line(&mut String::new())?;
    let second = e2e::client::outcome(multiplexed(&["-n"])?.arg("echo beside"))?;
    drop(first.stdin.take());
    ensure!(first.wait()?.success());
    second.printed("beside\n")
}

fn not_served(world: &Stack) -> Result<()> {
    let mut ssh = world.user("alice")?.quiet_ssh();
    let done = e2e::client::outcome(ssh.args(["-n", "-s", "user@ws-796636", "nonsense"]))?;
    ensure!(done.status != Some(0), "{done:?}");
    Ok(())
}

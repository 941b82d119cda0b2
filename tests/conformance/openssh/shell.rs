//! Login shells, with and without a terminal.

use super::{Plain, exec::SORTED};
use crate::{live::Live, run::run, scene::Scene};
use anyhow::Result;
use e2e::seclusion;
use std::fs;

pub(super) const CASES: &[Plain] = &[
    ("shell::a_script_on_its_input", script),
    ("shell::is_a_login_shell", login),
    ("shell::its_environment", environment),
    ("shell::greets_on_a_terminal", greeting),
    ("shell::ends_with_its_input", input_ends),
    ("shell::a_person_types", typed),
    ("shell::a_start_up_script_comes_first", start_up),
];

fn script(scene: &Scene<'_>) -> Result<()> {
    scene.outcome("", &run(&mut scene.ssh(&["-T"]), b"echo out; echo err >&2\nread line\nthe line\necho got $line\nexit 9\n")?);
    Ok(())
}

fn login(scene: &Scene<'_>) -> Result<()> {
    let script = b"shopt login_shell; echo $0; tr '\\0' '|' < /proc/$$/cmdline; echo; pwd; echo $-; umask\n";
    scene.outcome("", &run(&mut scene.ssh(&["-T"]), script)?);
    Ok(())
}

fn environment(scene: &Scene<'_>) -> Result<()> {
    scene.outcome("", &run(&mut scene.ssh(&["-T"]), SORTED.as_bytes())?);
    Ok(())
}

/// What an ordinary account's and root's prompts end with.
const PROMPTS: &[&str] = &["$ ", "# "];

/// The message of the day, the prompt, and what ends it.
fn greeting(scene: &Scene<'_>) -> Result<()> {
    let mut shell = Live::seated(scene.ssh(&["-tt"]).env("TERM", "dumb"), 24, 80)?;
    shell.settles(PROMPTS)?;
    shell.send("exit 5\n")?;
    scene.outcome("", &shell.end()?);
    Ok(())
}

fn input_ends(scene: &Scene<'_>) -> Result<()> {
    scene.outcome("no script", &run(&mut scene.ssh(&["-T"]), b"")?);
    scene.outcome("failed last", &run(&mut scene.ssh(&["-T"]), b"false")?);
    Ok(())
}

fn typed(scene: &Scene<'_>) -> Result<()> {
    let mut shell = Live::seated(scene.ssh(&["-tt"]).arg("PS1='$ ' exec sh -i").env("TERM", "dumb"), 24, 80)?;
    for line in ["echo one\n", "tty >/dev/null && echo on a terminal\n", "false || echo failed\n"] {
        shell.settles(PROMPTS)?;
        shell.send(line)?;
        shell.expect(&line.replace('\n', "\r\n"))?;
    }
    shell.settles(PROMPTS)?;
    shell.send("cat\n")?;
    shell.settles(&["cat\r\n"])?;
    shell.send("echoed\n")?;
    shell.expect("echoed\r\nechoed\r\n")?;
    shell.send("\x04")?;
    shell.settles(PROMPTS)?;
    shell.send("sleep 50\n")?;
    shell.settles(&["sleep 50\r\n"])?;
    shell.send("\x03")?;
    shell.expect("^C")?;
    shell.settles(PROMPTS)?;
    shell.send("exit 3\n")?;
    scene.outcome("", &shell.end()?);
    Ok(())
}

/// Only for sessions that ask for it: the home folder is that of other cases too.
const START_UP: &str = "test \"$LC_START_UP\" = yes || exit 0
read typed; echo \"typed: $typed, on a terminal: $(test -t 1 && echo yes)\"
env | grep -E '^(TERM|HOME|USER|SHELL|PATH|LC_START_UP)=' | sort; pwd; umask
echo beside >&2; ps -o stat=,args= -p $$ | cut -c2-; exit 7
";

/// `~/.ssh/rc`, before all that is no subsystem.
fn start_up(scene: &Scene<'_>) -> Result<()> {
    // Outside, the home folder is somebody's.
    if !seclusion::is_inside() {
        return Ok(());
    }
    let folder = crate::world::home().join(".ssh");
    fs::create_dir_all(&folder)?;
    // The other side does so at the same time.
    let whole = tempfile::NamedTempFile::new_in(&folder)?;
    fs::write(&whole, START_UP)?;
    whole.persist(folder.join("rc"))?;
    let wish = "SetEnv=LC_START_UP=yes";
    scene.outcome("command", &run(scene.ssh(&["-o", wish]).arg("cat; exit 3"), b"typed\n")?);
    scene.outcome("shell", &run(&mut scene.ssh(&["-T", "-o", wish]), b"echo $0 of a shell\n")?);
    scene.outcome("terminal", &run(scene.ssh(&["-tt", "-o", wish]).arg("tty >/dev/null; exit $?"), b"")?);
    scene.outcome("sftp", &run(scene.side.client("sftp").args(["-o", wish, crate::side::TARGET]), b"pwd\n")?);
    Ok(())
}

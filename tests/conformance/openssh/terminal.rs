//! Commands on a terminal: its modes, its size, its signals.

use super::{
    Plain,
    exec::{CLASSIC_SIGNALS, SORTED},
};
use crate::{Case, Named, live::Live, scene::Scene};
use anyhow::Result;
use rustix::termios::{InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, tcgetattr, tcsetattr};

pub(super) const CASES: &[Plain] = &[
    ("terminal::the_environment", environment),
    ("terminal::takes_the_clients_modes", modes),
    ("terminal::follows_the_clients_window", window),
    ("terminal::control_keys_are_signals", keys),
    ("terminal::end_of_file_is_a_key", end_of_file),
    ("terminal::sizes_nobody_has", sizes),
    ("terminal::raw_bytes_pass", raw),
    ("terminal::is_hung_up_with_the_client", hung_up),
];

const COMMANDS: &[(&str, &str)] = &[
    ("streams_and_status", "echo out; echo err >&2; exit 7"),
    ("default_modes", "stty -a"),
    ("is_one", "test -t 0 && test -t 1 && test -t 2; echo $?; tty | tr -d 0-9"),
    ("line_ends", "printf 'a\\nb\\r\\nc'"),
    ("size", "stty size; echo ${LINES:-unset} ${COLUMNS:-unset}"),
    ("controlling", "echo through > /dev/tty"),
    (
        "session_and_group",
        "set -- $(cat /proc/$$/stat); test $1 = $5 && echo leads its group; test $1 = $6 && echo leads its session; test $8 = $1 && echo in the foreground",
    ),
    ("descriptors", "for fd in 0 1 2; do readlink /proc/$$/fd/$fd | tr -d '0-9'; done"),
    ("signals", CLASSIC_SIGNALS),
    ("owner", "stat -L -c '%U %a' $(tty)"),
    ("killed", "echo before; kill -TERM $$; echo after"),
    ("much_at_the_end", "seq 1 20000; exit 3"),
    ("a_background_process_keeps_it", "trap '' HUP; sleep 3 & echo now; exit 4"),
    ("a_background_process_is_hung_up", "sleep 30 & echo now"),
    ("arguments", "tr '\\0' '|' < /proc/$$/cmdline; echo; echo $-"),
];

pub(super) fn commands() -> impl Iterator<Item = Named> {
    COMMANDS.iter().map(|(name, command)| (format!("openssh::terminal::{name}"), Box::new(Seated(command)) as Box<_>))
}

struct Seated(&'static str);

impl Case for Seated {
    fn play(&self, scene: &Scene<'_>) -> Result<()> {
        seated(scene, "", self.0)
    }
}

fn seated(scene: &Scene<'_>, name: &str, command: &str) -> Result<()> {
    let live = Live::seated(scene.ssh(&["-tt"]).arg(command).env("TERM", "xterm-256color"), 33, 101)?;
    scene.outcome(name, &live.end()?);
    Ok(())
}

fn environment(scene: &Scene<'_>) -> Result<()> {
    seated(scene, "", SORTED)
}

/// The client sends what its own terminal has; ours is unusual.
fn modes(scene: &Scene<'_>) -> Result<()> {
    let mut ssh = scene.ssh(&["-tt"]);
    let mut live = Live::seated_with(ssh.arg("stty -a"), 40, 120, |far| {
        let mut modes = tcgetattr(far)?;
        modes.local_modes.remove(LocalModes::ECHOE | LocalModes::ECHOK | LocalModes::IEXTEN);
        modes.local_modes.insert(LocalModes::NOFLSH | LocalModes::TOSTOP);
        modes.input_modes.insert(InputModes::IXOFF | InputModes::IUTF8 | InputModes::INLCR);
        modes.output_modes.remove(OutputModes::ONLCR);
        modes.special_codes[SpecialCodeIndex::VERASE] = 0x08;
        modes.special_codes[SpecialCodeIndex::VINTR] = 0x18;
        modes.special_codes[SpecialCodeIndex::VSUSP] = 0;
        Ok(tcsetattr(far, OptionalActions::Now, &modes)?)
    })?;
    live.close_input();
    scene.outcome("", &live.end()?);
    Ok(())
}

fn window(scene: &Scene<'_>) -> Result<()> {
    // Shells lose a SIGWINCH that comes while they handle one.
    let script = "old=$(stty size); echo ready; while :; do new=$(stty size); [ \"$new\" = \"$old\" ] || echo \"$new\"; old=$new; sleep 0.05; done";
    let live = Live::seated(scene.ssh(&["-tt"]).arg(script), 24, 80)?;
    live.expect("ready")?;
    for (rows, columns) in [(40, 120), (1, 1), (500, 500)] {
        live.resize(rows, columns, &format!("{rows} {columns}\r\n"))?;
    }
    scene.bytes("", &live.printed());
    Ok(())
}

fn keys(scene: &Scene<'_>) -> Result<()> {
    for (name, key) in [("interrupt", "\x03"), ("quit", "\x1c"), ("suspend", "\x1a")] {
        let script = "ulimit -c 0; trap 'echo int; exit 11' INT; trap 'echo quit; exit 12' QUIT; trap 'echo tstp; exit 13' TSTP; \
                      sleep 30 </dev/null >/dev/null 2>&1 & echo ready; while :; do wait; done";
        let mut live = Live::seated(scene.ssh(&["-tt"]).arg(format!("exec sh -c {script:?}")), 24, 80)?;
        live.expect("ready")?;
        live.send(key)?;
        scene.outcome(name, &live.end()?);
    }
    Ok(())
}

fn end_of_file(scene: &Scene<'_>) -> Result<()> {
    let mut live = Live::seated(scene.ssh(&["-tt"]).arg("echo ready; cat; echo after; exit 3"), 24, 80)?;
    live.expect("ready")?;
    live.send("line\n")?;
    live.expect("line\r\nline")?;
    live.send("\x04")?;
    scene.outcome("", &live.end()?);
    Ok(())
}

fn sizes(scene: &Scene<'_>) -> Result<()> {
    for (rows, columns) in [(0, 0), (1, 1), (u16::MAX, u16::MAX)] {
        let live = Live::seated(scene.ssh(&["-tt"]).arg("stty size"), rows, columns)?;
        scene.outcome(&format!("{rows} by {columns}"), &live.end()?);
    }
    Ok(())
}

fn raw(scene: &Scene<'_>) -> Result<()> {
    let script = "stty raw -echo; echo ready; head -c 512 | od -An -tx1 -v; stty sane; exit 2";
    let mut live = Live::seated(scene.ssh(&["-tt", "-e", "none"]).arg(script), 24, 80)?;
    live.expect("ready")?;
    let every: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
    live.send(&every)?;
    scene.outcome("", &live.end()?);
    Ok(())
}

fn hung_up(scene: &Scene<'_>) -> Result<()> {
    let told = scene.path("told");
    let script = format!("trap 'echo hup > {}; exit' HUP; echo ready; while :; do sleep 0.05; done", told.display());
    let live = Live::seated(scene.ssh(&["-tt"]).arg(script), 24, 80)?;
    live.expect("ready")?;
    live.kill()?;
    crate::run::until("the program is told", || told.is_file())?;
    scene.note("told", "SIGHUP");
    Ok(())
}

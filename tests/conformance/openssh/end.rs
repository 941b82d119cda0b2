//! What becomes of programs when the client goes.

use super::Plain;
use crate::{live::Live, run::until, scene::Scene};
use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::{fs, path::Path};

pub(super) const CASES: &[Plain] = &[
    ("end::output_breaks", output_breaks),
    ("end::input_ends", input_ends),
    ("end::an_idle_program_is_told", idle),
    ("end::nohup_lives_on", nohup),
    ("end::setsid_lives_on", setsid),
    ("end::nothing_is_left_of_short_sessions", no_zombies),
];

/// Starts `script` and breaks the client once it has said that it is ready.
fn abandon(scene: &Scene<'_>, script: &str) -> Result<()> {
    let live = Live::piped(scene.ssh(&[]).arg(script))?;
    live.expect("ready")?;
    live.kill()
}

fn output_breaks(scene: &Scene<'_>) -> Result<()> {
    let done = scene.path("done");
    abandon(scene, &format!("echo ready; while echo more; do :; done 2>/dev/null; echo broken > {}", done.display()))?;
    let ended = until("the writer ends", || done.is_file());
    scene.note("the writer saw", if ended.is_ok() { "a broken pipe" } else { "nothing" });
    Ok(())
}

fn input_ends(scene: &Scene<'_>) -> Result<()> {
    let done = scene.path("done");
    abandon(scene, &format!("trap '' HUP; echo ready; cat > /dev/null; echo ended > {}", done.display()))?;
    until("the reader ends", || done.is_file())?;
    scene.note("the reader saw", "end of file");
    Ok(())
}

fn idle(scene: &Scene<'_>) -> Result<()> {
    let (told, pid) = (scene.path("told"), scene.path("pid"));
    let script = format!(
        "trap 'echo SIGHUP > {0}; exit' HUP; echo $$ > {1}; echo ready; n=0; while [ $n -lt 60 ]; do sleep 0.1; n=$((n+1)); done; echo nothing > {0}",
        told.display(),
        pid.display()
    );
    abandon(scene, &script)?;
    until("the program ends", || fs::read(&told).is_ok_and(|told| !told.is_empty()))?;
    scene.note("the program saw", fs::read_to_string(told)?.trim());
    Ok(())
}

fn nohup(scene: &Scene<'_>) -> Result<()> {
    lives_on(scene, "nohup sh -c 'echo $$ > PID; exec sleep 100' >/dev/null 2>&1 </dev/null &")
}

fn setsid(scene: &Scene<'_>) -> Result<()> {
    lives_on(scene, "setsid sh -c 'echo $$ > PID; exec sleep 100' >/dev/null 2>&1 </dev/null &")
}

fn lives_on(scene: &Scene<'_>, start: &str) -> Result<()> {
    let (file, main) = (scene.path("pid"), scene.path("main"));
    let start = start.replace("PID", &file.display().to_string());
    let wait = format!("while [ ! -s {} ]; do sleep 0.05; done", file.display());
    abandon(scene, &format!("echo $$ > {}; {start} {wait}; echo ready; exec cat", main.display()))?;
    let (main, pid) = (number(&main)?, number(&file)?);
    until("the session's own program is gone", || test_kill_process(main).is_err())?;
    let alive = test_kill_process(pid).is_ok();
    scene.note("it", if alive { "lives on" } else { "was ended" });
    if alive {
        kill_process(pid, Signal::KILL)?;
    }
    Ok(())
}

fn number(file: &Path) -> Result<Pid> {
    fs::read_to_string(file)?.trim().parse().ok().and_then(Pid::from_raw).context("no process id")
}

fn no_zombies(scene: &Scene<'_>) -> Result<()> {
    for _ in 0..5 {
        scene.exec("one of many", "sh -c 'exit 1' & exit 0")?;
    }
    let parents = "for s in /proc/[0-9]*/stat; do set -- $(sed 's/([^)]*)/x/' $s 2>/dev/null); [ \"$3\" = Z ] && [ \"$4\" = $PPID ] && echo zombie; done; echo looked";
    scene.exec("zombies", parents)
}

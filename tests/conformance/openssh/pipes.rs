//! Pipelines on the user's side that end before the program does, and the other way round.

use super::Plain;
use crate::scene::Scene;
use anyhow::Result;
use std::process::Command;

pub(super) const CASES: &[Plain] = &[
    ("pipes::nobody_reads_on", unread),
    ("pipes::nobody_reads_on_and_the_program_does_not_mind", undisturbed),
    ("pipes::errors_are_read_on", errors),
    ("pipes::the_program_reads_no_further", untaken),
];

/// `line` of a shell on the user's side, in which `"$@"` is `ssh target <command>`.
fn pipeline(scene: &Scene<'_>, line: &str, command: &str) -> Command {
    let ssh = scene.ssh(&[]);
    let mut shell = Command::new("bash");
    shell.args(["-c", line, "bash"]).arg(ssh.get_program()).args(ssh.get_args()).arg(command);
    shell
}

const FIRST_LINE: &str = "\"$@\" </dev/null | head -n 1; echo \"ended with ${PIPESTATUS[0]}\"";

fn unread(scene: &Scene<'_>) -> Result<()> {
    let told = scene.path("told");
    let told = told.display();
    scene.observe("busy", &mut pipeline(scene, FIRST_LINE, &format!("yes; echo $? >{told}")))?;
    scene.exec("its end", &format!("cat {told}"))?;
    scene.observe("slow", &mut pipeline(scene, FIRST_LINE, "while :; do echo line; sleep 0.1; done"))?;
    scene.observe("large", &mut pipeline(scene, "\"$@\" </dev/null | head -c 100000 | wc -c", "cat /dev/zero"))
}

fn undisturbed(scene: &Scene<'_>) -> Result<()> {
    let told = scene.path("told");
    let told = told.display();
    let command = format!("trap '' PIPE; yes 2>&1; echo $? >{told}; exit 5");
    scene.observe("", &mut pipeline(scene, FIRST_LINE, &command))?;
    scene.exec("its end", &format!("cat {told}"))
}

fn errors(scene: &Scene<'_>) -> Result<()> {
    let command = "trap '' PIPE; yes 2>/dev/null; echo still heard >&2; exit 6";
    scene.observe("", &mut pipeline(scene, FIRST_LINE, command))
}

/// The user's side is told to send no more, long before all is sent and thrown away.
fn untaken(scene: &Scene<'_>) -> Result<()> {
    let line = "head -c 40000000000 /dev/zero | \"$@\"; echo \"stopped by ${PIPESTATUS[0]}\"";
    scene.observe("", &mut pipeline(scene, line, "exec <&-; sleep 2; echo done"))
}

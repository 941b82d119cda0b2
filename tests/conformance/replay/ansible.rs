//! Ansible: a persistent master, modules by sftp or scp or a pipe, and `/bin/sh -c` around everything.

use crate::{
    openssh::Plain,
    run::{noise, run},
    scene::Scene,
    side::TARGET,
};
use anyhow::Result;
use std::process::Command;

pub(super) const CASES: &[Plain] = &[
    ("ansible::a_module_by_sftp", |scene| module(scene, by_sftp)),
    ("ansible::a_module_by_scp", |scene| module(scene, by_scp)),
    ("ansible::a_module_by_a_pipe", |scene| module(scene, by_pipe)),
];

fn persistent(scene: &Scene<'_>, program: &str) -> Command {
    let mut client = scene.side.client(program);
    client.args(["-o", "ControlMaster=auto", "-o", "ControlPersist=60", "-o", "KbdInteractiveAuthentication=no"]);
    client.args(["-o", "PreferredAuthentications=publickey", "-o", "PasswordAuthentication=no", "-o", "ConnectTimeout=10"]);
    client.arg("-o").arg(format!("ControlPath={}", scene.path("c").display()));
    client
}

/// Each step is what `ansible -vvv` shows, with our folder for `~/.ansible/tmp`.
fn module(scene: &Scene<'_>, put: fn(&Scene<'_>, &str) -> Result<()>) -> Result<()> {
    let shell = |name: &str, terminal: bool, script: &str| {
        let mut ssh = persistent(scene, "ssh");
        ssh.args(terminal.then_some("-tt")).arg(TARGET).arg(format!("/bin/sh -c '{script}'"));
        scene.outcome(name, &run(&mut ssh, &[])?);
        Ok::<_, anyhow::Error>(())
    };
    let tmp = scene.path("tmp/ansible-tmp-1");
    let tmp = tmp.display();
    shell("home", false, "echo ~ && sleep 0")?;
    shell(
        "folder",
        false,
        &format!("( umask 77 && mkdir -p \"` echo {tmp} `\" && echo ansible-tmp-1=\"` echo {tmp} `\" ) && sleep 0"),
    )?;
    let python = scene.world.python.display();
    scene.file(
        "module.py",
        format!("#!{python}\nimport json, os\nprint(json.dumps({{\"changed\": False, \"umask\": os.umask(0)}}))\n"),
    )?;
    put(scene, &format!("{tmp}/AnsiballZ_ping.py"))?;
    shell("mode", false, &format!("chmod u+rwx {tmp}/ {tmp}/AnsiballZ_ping.py && sleep 0"))?;
    shell("run", true, &format!("{python} {tmp}/AnsiballZ_ping.py && sleep 0"))?;
    shell(
        "become without sudo",
        false,
        &format!("sh -c \"echo BECOME-SUCCESS-x; {python} {tmp}/AnsiballZ_ping.py\" && sleep 0"),
    )?;
    shell("remove", false, &format!("rm -f -r {tmp}/ > /dev/null 2>&1 && sleep 0"))?;
    shell("failed", false, "exit 13")?;
    scene.observe("end", persistent(scene, "ssh").args(["-O", "exit", TARGET]))
}

fn by_sftp(scene: &Scene<'_>, to: &str) -> Result<()> {
    let batch = format!("put {} {to}\n", scene.path("module.py").display());
    scene.outcome("put", &run(persistent(scene, "sftp").args(["-b", "-", TARGET]), batch.as_bytes())?);
    Ok(())
}

fn by_scp(scene: &Scene<'_>, to: &str) -> Result<()> {
    scene.observe("put", persistent(scene, "scp").arg(scene.path("module.py")).arg(format!("{TARGET}:{to}")))
}

/// `dd`, as with `ssh_transfer_method=piped`.
fn by_pipe(scene: &Scene<'_>, to: &str) -> Result<()> {
    let module = std::fs::read(scene.path("module.py"))?;
    let outcome = run(persistent(scene, "ssh").args([TARGET, &format!("dd of={to} bs=65536 status=none")]), &module)?;
    scene.outcome("put", &outcome);
    let large = run(persistent(scene, "ssh").args([TARGET, "dd bs=65536 status=none | sha256sum"]), &noise(1 << 20))?;
    scene.outcome("large", &large);
    Ok(())
}

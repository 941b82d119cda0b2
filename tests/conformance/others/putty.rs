//! PuTTY's `plink`, `pscp` and `psftp`.

use crate::{
    openssh::{Plain, forward::shouter},
    run::{noise, run},
    scene::Scene,
};
use anyhow::Result;
use std::{fs, path::Path, process::Command};

pub(super) const CASES: &[Plain] = &[
    ("exec::streams_and_status", streams_and_status),
    ("exec::input_comes_back", input_comes_back),
    ("exec::a_terminal", terminal),
    ("files::psftp", psftp),
    ("files::pscp", pscp),
    ("forward::a_port", port),
];

/// What each of them is told: our key, which host keys to believe, and the way there.
fn client(scene: &Scene<'_>, program: &Path) -> Command {
    let mut client = Command::new(program);
    client.args(believing(scene));
    match scene.side.jump() {
        Some(jump) => {
            let (plink, words) = (scene.world.others.plink.display(), believing(scene).join(" "));
            let way = format!("{plink} {words} -P {jump} -nc %host:%port 127.0.0.1");
            client.args(["-proxycmd", &way])
        }
        None => client.args(["-P", &scene.side.port().to_string()]),
    };
    client
}

fn believing(scene: &Scene<'_>) -> Vec<String> {
    let others = &scene.world.others;
    let mut words: Vec<String> = ["-batch", "-noagent", "-l", scene.side.account(), "-i"].map(str::to_owned).into();
    words.push(others.putty_key.display().to_string());
    words.extend(others.fingerprints.iter().flat_map(|fingerprint| ["-hostkey".to_owned(), fingerprint.clone()]));
    words
}

/// `plink <options> host command`.
fn plink(scene: &Scene<'_>, options: &[&str], command: &str) -> Command {
    let mut plink = client(scene, &scene.world.others.plink);
    plink.arg("-ssh").args(options).arg(scene.side.host()).arg(command);
    plink
}

fn streams_and_status(scene: &Scene<'_>) -> Result<()> {
    scene.observe("apart", &mut plink(scene, &[], "echo out; echo err >&2; exit 7"))?;
    scene.observe("killed", &mut plink(scene, &[], "kill -9 $$"))
}

fn input_comes_back(scene: &Scene<'_>) -> Result<()> {
    for length in [0, 1, 32_768, 4 << 20] {
        scene.outcome(&length.to_string(), &run(&mut plink(scene, &[], "cat"), &noise(length))?);
    }
    Ok(())
}

fn terminal(scene: &Scene<'_>) -> Result<()> {
    scene.observe("", &mut plink(scene, &["-t"], "stty size; echo $TERM; stty -a | grep -ow isig; exit 4"))
}

fn psftp(scene: &Scene<'_>) -> Result<()> {
    scene.file("up", noise(4 << 20))?;
    let dir = scene.dir().display();
    let steps = format!(
        "put {dir}/up {dir}/there\nget {dir}/there {dir}/back\nmkdir {dir}/folder\nmv {dir}/there {dir}/folder/moved\n\
         chmod 640 {dir}/folder/moved\nls {dir}/folder/missing\nrmdir {dir}/folder\nrm {dir}/folder/moved\nrmdir {dir}/folder\nquit\n"
    );
    let steps = scene.file("steps", steps)?;
    let mut psftp = client(scene, &scene.world.others.psftp);
    scene.observe("steps", psftp.args(["-be", "-b"]).arg(steps).arg(scene.side.host()))?;
    scene.bytes("back", &fs::read(scene.path("back"))?);
    scene.note("left", scene.path("folder").exists());
    Ok(())
}

fn pscp(scene: &Scene<'_>) -> Result<()> {
    fs::create_dir_all(scene.path("tree/sub"))?;
    fs::create_dir_all(scene.path("back"))?;
    scene.file("tree/one", noise(100_000))?;
    scene.file("tree/sub/two", noise(3))?;
    let far = |name: &str| format!("{}:{}/{name}", scene.side.host(), scene.dir().display());
    for protocol in ["-scp", "-sftp"] {
        let pscp = || {
            let mut pscp = client(scene, &scene.world.others.pscp);
            pscp.args([protocol, "-q", "-r", "-p"]);
            pscp
        };
        scene.observe(&format!("{protocol} up"), pscp().arg(scene.path("tree")).arg(far(&format!("up{protocol}"))))?;
        scene.observe(&format!("{protocol} down"), pscp().arg(far("tree")).arg(scene.path(&format!("down{protocol}"))))?;
        for way in ["up", "down"] {
            let copied = scene.path(&format!("{way}{protocol}"));
            scene.note(&format!("{protocol} {way}: tree"), copied.is_dir());
            scene.bytes(&format!("{protocol} {way}: two"), &fs::read(copied.join("sub/two")).unwrap_or_default());
        }
    }
    Ok(())
}

fn port(scene: &Scene<'_>) -> Result<()> {
    let mut plink = client(scene, &scene.world.others.plink);
    plink.args(["-nc", &format!("127.0.0.1:{}", shouter()?)]).arg(scene.side.host());
    scene.outcome("", &run(&mut plink, b"said")?);
    Ok(())
}

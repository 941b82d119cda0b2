//! Files through `sftp`.

use super::{
    Plain,
    tree::{make_tree, note_tree},
};
use crate::{
    run::{noise, run},
    scene::Scene,
    side::TARGET,
};
use anyhow::{Result, ensure};
use e2e::seclusion;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

pub(super) const CASES: &[Plain] = &[
    ("sftp::a_batch", batch),
    ("sftp::put_and_get", put_and_get),
    ("sftp::resumed", resumed),
    ("sftp::failures", failures),
    ("sftp::listings", listings),
    ("sftp::globs_and_odd_names", globs),
    ("sftp::a_tree", tree),
    ("sftp::copies_on_the_server", server_copy),
    ("sftp::small_buffers_many_requests", small_buffers),
    ("sftp::the_shells_umask_is_for_uploads_too", masked),
    ("sftp::new_keys_on_the_way", rekeyed),
];

/// Runs `sftp` on a batch; the echoed commands make its output readable.
fn sftp(scene: &Scene<'_>, name: &str, options: &[&str], batch: &str) -> Result<()> {
    let mut sftp = scene.side.client("sftp");
    sftp.args(options).args(["-b", "-", TARGET]).current_dir(scene.dir());
    scene.outcome(name, &run(&mut sftp, batch.as_bytes())?);
    Ok(())
}

fn batch(scene: &Scene<'_>) -> Result<()> {
    scene.file("up", noise(100_000))?;
    let dir = scene.dir().display();
    let batch = format!(
        "cd {dir}\npwd\nmkdir folder\nput up folder/one\nls -1 folder\nchmod 640 folder/one\nrename folder/one folder/two\n\
         symlink two folder/link\nln folder/two folder/hard\nls -1 folder\nget folder/two back\nrm folder/hard\nrm folder/link\n\
         rm folder/two\nrmdir folder\nls -1\n"
    );
    sftp(scene, "", &[], &batch)?;
    scene.bytes("back", &fs::read(scene.path("back"))?);
    Ok(())
}

/// Only for sessions that ask for it: the home folder is that of other cases too.
const UMASK: &str = "case \"$LC_UMASK\" in 0*) umask \"$LC_UMASK\";; esac\n";

/// How many of that file were begun.
static DRAFTS: AtomicUsize = AtomicUsize::new(0);

fn masked(scene: &Scene<'_>) -> Result<()> {
    // Outside, the home folder is somebody's.
    if !seclusion::is_inside() {
        return Ok(());
    }
    let home = crate::world::home();
    // Both sides write it at once.
    let whole = home.join(format!(".bashrc.{}", DRAFTS.fetch_add(1, Relaxed)));
    fs::write(&whole, UMASK)?;
    fs::rename(whole, home.join(".bashrc"))?;
    scene.file("up", b"private")?;
    for umask in ["077", "002", "027"] {
        let batch = format!("cd {}\nmkdir {umask}.d\nput up {umask}.f\n", scene.dir().display());
        sftp(scene, umask, &["-q", "-o", &format!("SetEnv=LC_UMASK={umask}")], &batch)?;
        for made in ["d", "f"] {
            let mode = fs::metadata(scene.path(&format!("{umask}.{made}")))?.permissions().mode();
            ensure!(umask != "077" || mode & 0o077 == 0, "the account's shell has no say: {mode:o}");
            scene.note(&format!("{umask}.{made}"), format!("{mode:o}"));
        }
    }
    Ok(())
}

fn put_and_get(scene: &Scene<'_>) -> Result<()> {
    let dir = scene.dir().display();
    for length in [0, 1, 32_767, 32_768, 32_769, 261_120, 261_121, 5 << 20] {
        scene.file("up", noise(length))?;
        sftp(scene, &length.to_string(), &["-q"], &format!("put up {dir}/far\nget {dir}/far {dir}/down\n"))?;
        scene.bytes(&format!("{length} down"), &fs::read(scene.path("down"))?);
    }
    Ok(())
}

fn resumed(scene: &Scene<'_>) -> Result<()> {
    let (dir, whole) = (scene.dir().display(), noise(200_000));
    scene.file("whole", &whole)?;
    scene.file("partial_up", whole.get(..70_000).unwrap_or_default())?;
    scene.file("partial_down", whole.get(..90_001).unwrap_or_default())?;
    sftp(scene, "", &["-q"], &format!("reput whole {dir}/partial_up\nreget {dir}/whole partial_down\n"))?;
    scene.bytes("up", &fs::read(scene.path("partial_up"))?);
    scene.bytes("down", &fs::read(scene.path("partial_down"))?);
    Ok(())
}

/// Each goes on after its failure.
fn failures(scene: &Scene<'_>) -> Result<()> {
    let dir = scene.dir().display();
    fs::create_dir_all(scene.path("full/inside"))?;
    scene.file("plain", "x")?;
    for command in [
        "get DIR/missing",
        "rm DIR/missing",
        "rmdir DIR/missing",
        "rmdir DIR/full",
        "rm DIR/full",
        "mkdir DIR/full",
        "rename DIR/missing DIR/x",
        "rename DIR/plain DIR/full",
        "ln DIR/missing DIR/x",
        "ln DIR/plain DIR/full",
        "symlink x DIR/plain",
        "chmod 600 DIR/missing",
        "ls DIR/missing",
        "cd DIR/missing",
        "cd DIR/plain",
        "put plain DIR/missing/x",
        "put plain DIR/full/inside",
        "get DIR/full",
        "mkdir DIR/plain/x",
        "ls /proc/1/fd/nope",
        "chown 1 DIR/missing",
        "rm /proc/version",
        "mkdir /proc/x",
        "df DIR/missing",
    ] {
        sftp(scene, command, &[], &format!("-{}\nlpwd\n", command.replace("DIR", &dir.to_string())))?;
    }
    Ok(())
}

fn listings(scene: &Scene<'_>) -> Result<()> {
    let root = make_tree(scene, "tree")?;
    for flags in ["-1", "-la", "-1t", "-1S", "-1r", "-n"] {
        // Folders' sizes are the file system's business, and so is the day on which a listing is read.
        sftp(scene, flags, &[], &format!("ls {flags} {}\n", root.display()))?;
    }
    for n in 0..1_500 {
        fs::write(scene.path(&format!("many-{n:04}")), "")?;
    }
    sftp(scene, "many", &["-q"], &format!("ls -1 {}/many-*\n", scene.dir().display()))
}

fn globs(scene: &Scene<'_>) -> Result<()> {
    let dir = scene.dir().display();
    for name in ["a b", "a*b", "tab\there", "ümlaut", "[x]", "quote'", "-dash", "nl\nin"] {
        scene.file(name, name)?;
    }
    scene.file_of_bytes(b"raw\xff\xfe", "raw")?;
    sftp(
        scene,
        "",
        &[],
        &format!("cd {dir}\nls -1\nls -1 a*\nget \"a b\" one\nget \"a\\*b\" two\nget \\[x\\] three\nrm -dash\nls -1 *\n"),
    )
}

fn tree(scene: &Scene<'_>) -> Result<()> {
    let (root, dir) = (make_tree(scene, "tree")?, scene.dir().display());
    sftp(scene, "up", &["-q"], &format!("mkdir {dir}/far\nput -Rp {} {dir}/far\n", root.display()))?;
    note_tree(scene, "far", &scene.path("far/tree"), "%y %m %T@ %p")?;
    fs::create_dir(scene.path("back"))?;
    sftp(scene, "down", &["-q"], &format!("get -Rp {dir}/tree {dir}/back\n"))?;
    note_tree(scene, "back", &scene.path("back/tree"), "%y %m %T@ %p")
}

fn server_copy(scene: &Scene<'_>) -> Result<()> {
    let dir = scene.dir().display();
    scene.file("from", noise(1_000_000))?;
    sftp(scene, "", &[], &format!("cp {dir}/from {dir}/to\n-cp {dir}/missing {dir}/to2\n"))?;
    scene.bytes("to", &fs::read(scene.path("to"))?);
    Ok(())
}

fn small_buffers(scene: &Scene<'_>) -> Result<()> {
    let dir = scene.dir().display();
    scene.file("up", noise(3_000_000))?;
    sftp(scene, "", &["-q", "-B", "1000", "-R", "256"], &format!("put up {dir}/far\nget {dir}/far {dir}/down\n"))?;
    scene.bytes("down", &fs::read(scene.path("down"))?);
    Ok(())
}

fn rekeyed(scene: &Scene<'_>) -> Result<()> {
    let dir = scene.dir().display();
    scene.file("up", noise(8 << 20))?;
    sftp(scene, "", &["-q", "-o", "RekeyLimit=1M"], &format!("put up {dir}/far\nget {dir}/far {dir}/down\n"))?;
    scene.bytes("down", &fs::read(scene.path("down"))?);
    Ok(())
}

//! Trees of files, made and read back, and how clients name them.

use crate::{
    run::{noise, run},
    scene::Scene,
    side::TARGET,
};
use anyhow::{Result, ensure};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

/// Every file below `folder`: type, mode, size, time in seconds, content.
pub(super) fn note_tree(scene: &Scene<'_>, name: &str, folder: &Path, columns: &str) -> Result<()> {
    let script = format!(
        "cd {} && find . -printf '{columns}\\n' | LC_ALL=C sort; find . -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum",
        folder.display()
    );
    let found = run(Command::new("sh").arg("-c").arg(script), &[])?;
    ensure!(found.status == Some(0), "{found:?}");
    scene.bytes(name, &found.out);
    Ok(())
}

/// A tree with what trees have; old times, so that keeping them shows.
pub(super) fn make_tree(scene: &Scene<'_>, name: &str) -> Result<PathBuf> {
    let root = scene.path(name);
    fs::create_dir_all(root.join("sub/deeper"))?;
    fs::create_dir_all(root.join("empty"))?;
    for (file, bytes) in [
        ("one", noise(10)),
        ("sub/two", noise(32_769)),
        ("sub/deeper/three", noise(300_000)),
        ("zero", Vec::new()),
        ("a b", noise(5)),
    ] {
        fs::write(root.join(file), bytes)?;
    }
    symlink("one", root.join("link"))?;
    let dress =
        "chmod 600 one; chmod 755 sub/two; chmod 444 zero; find . -depth -print0 | xargs -0 touch -h -d '2001-02-03 04:05:06Z'";
    let dressed = run(Command::new("sh").args(["-ec", dress]).current_dir(&root), &[])?;
    ensure!(dressed.status == Some(0), "{dressed:?}");
    Ok(root)
}

pub(super) fn far(scene: &Scene<'_>, name: &str) -> String {
    format!("{TARGET}:{}", scene.path(name).display())
}

pub(super) fn near(scene: &Scene<'_>, name: &str) -> String {
    scene.path(name).display().to_string()
}

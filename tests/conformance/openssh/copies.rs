//! `rsync` and `git`, which bring their own protocols.

use super::{
    Plain,
    tree::{far, make_tree, near, note_tree},
};
use crate::{run::noise, scene::Scene};
use anyhow::Result;
use std::{fs, path::Path, process::Command};

pub(super) const CASES: &[Plain] =
    &[("rsync::a_tree_up_and_again", rsync_up), ("rsync::a_tree_down", rsync_down), ("git::clone_and_push", git)];

fn rsync(scene: &Scene<'_>, name: &str, from: &str, to: &str) -> Result<()> {
    let program = &scene.world.rsync;
    let mut rsync = Command::new(program);
    rsync.args(["-a", "--delete", "--itemize-changes", "-e", &scene.side.ssh_line()]);
    rsync.arg(format!("--rsync-path={}", program.display())).args([from, to]);
    scene.observe(name, &mut rsync)
}

fn rsync_up(scene: &Scene<'_>) -> Result<()> {
    let root = make_tree(scene, "tree")?;
    let (from, to) = (format!("{}/", root.display()), far(scene, "far/"));
    rsync(scene, "first", &from, &to)?;
    rsync(scene, "again", &from, &to)?;
    fs::write(root.join("one"), "changed and longer")?;
    fs::remove_file(root.join("zero"))?;
    rsync(scene, "changed", &from, &to)?;
    note_tree(scene, "far", &scene.path("far"), "%y %m %p %l")
}

fn rsync_down(scene: &Scene<'_>) -> Result<()> {
    make_tree(scene, "tree")?;
    rsync(scene, "down", &far(scene, "tree/"), &near(scene, "back/"))?;
    note_tree(scene, "back", &scene.path("back"), "%y %m %T@ %p %l")?;
    rsync(scene, "missing", &far(scene, "missing/"), &near(scene, "x/"))
}

fn git(scene: &Scene<'_>) -> Result<()> {
    let git = |name: &str, folder: &Path, arguments: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(folder)
            .args(["-c", "init.defaultBranch=main", "-c", "user.name=x", "-c", "user.email=x@example.com"])
            .args(arguments);
        let when = "2001-02-03T04:05:06Z";
        git.env("GIT_SSH_COMMAND", scene.side.ssh_line()).env("GIT_AUTHOR_DATE", when).env("GIT_COMMITTER_DATE", when);
        scene.observe(name, git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1"))
    };
    let (dir, bare) = (scene.dir(), far(scene, "bare.git"));
    git("init", dir, &["init", "-q", "--bare", "bare.git"])?;
    git("clone", dir, &["clone", "-q", &bare, "work"])?;
    let work = scene.path("work");
    fs::write(work.join("large"), noise(500_000))?;
    git("add", &work, &["add", "."])?;
    git("commit", &work, &["commit", "-q", "-m", "first"])?;
    git("push", &work, &["push", "-q", "origin", "HEAD:main"])?;
    git("clone again", dir, &["clone", "-q", &bare, "again"])?;
    git("log", &scene.path("again"), &["log", "--format=%H %s"])?;
    git("fetch nothing", &work, &["fetch", "-q", "origin"])?;
    git("no repository", dir, &["ls-remote", &far(scene, "missing.git")])
}

//! `rsync` and `git` over exec.

use crate::harness::{Workspace, ends, noise, text};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::OnceLock,
};
use tokio::process::Command;

/// Runs a program to its end, which has to be a good one.
async fn run(command: &mut Command) -> Output {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let output = ends(child).await;
    assert!(output.status.success(), "{:?}: {}", command.as_std(), text(&output.stderr));
    output
}

fn ssh(workspace: &Workspace) -> String {
    format!("ssh -F {}", workspace.path("config").display())
}

#[tokio::test(flavor = "multi_thread")]
async fn rsync_brings_trees_both_ways_and_sends_only_what_changed() {
    let workspace = Workspace::start().await;
    let tree = workspace.path("tree");
    fs::create_dir_all(tree.join("in side")).unwrap();
    let mut data = noise(5 << 20);
    fs::write(tree.join("large"), &data).unwrap();
    for name in ["two words", "new\nline", "quote'\"$(x)", "größe"] {
        fs::write(tree.join("in side").join(name), name).unwrap();
    }
    let (from, back) = (format!("{}/", tree.display()), workspace.path("back"));
    sync(&workspace, &["-a", &from, "ws:copy"]).await;
    data[3 << 20] ^= 1;
    // Longer, too: a change of the same second and size would not be looked for.
    data.push(1);
    fs::write(tree.join("large"), &data).unwrap();
    fs::remove_file(tree.join("in side/two words")).unwrap();
    let told = sync(&workspace, &["-a", "--delete", "--stats", &from, "ws:copy"]).await;
    let sent = told.lines().find_map(|line| line.strip_prefix("Literal data: ")).unwrap().replace([',', '.'], "");
    let sent: u64 = sent.split(' ').next().unwrap().parse().unwrap();
    assert!(sent < 100_000, "{sent} bytes were sent anew");
    sync(&workspace, &["-a", "ws:copy/", &back.display().to_string()]).await;
    let same = Command::new("diff").arg("-r").args([&tree, &back]).output().await.unwrap();
    assert!(same.status.success(), "{}", text(&same.stdout));
}

async fn sync(workspace: &Workspace, arguments: &[&str]) -> String {
    let rsync = rsync();
    let mut command = Command::new(&rsync.program);
    command.env("LD_LIBRARY_PATH", &rsync.libraries).args(["-e", &ssh(workspace)]);
    let there = format!("LD_LIBRARY_PATH={} {}", rsync.libraries.display(), rsync.program.display());
    command.arg(format!("--rsync-path={there}")).args(arguments);
    String::from_utf8(run(&mut command).await.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn git_clones_pushes_and_fetches() {
    let workspace = Workspace::start().await;
    let git = async |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.current_dir(workspace.path("")).env("GIT_SSH_COMMAND", ssh(&workspace)).env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.args(["-c", "user.name=A", "-c", "user.email=a@example.com"]).args(arguments);
        text(&run(&mut command).await.stdout).to_owned()
    };
    git(&["init", "-q", "--bare", "-b", "main", &workspace.home("repo.git").display().to_string()]).await;
    git(&["clone", "-q", "ws:repo.git", "one"]).await;
    fs::write(workspace.path("one/large"), noise(8 << 20)).unwrap();
    git(&["-C", "one", "checkout", "-q", "-B", "main"]).await;
    git(&["-C", "one", "add", "."]).await;
    git(&["-C", "one", "commit", "-q", "-m", "first"]).await;
    git(&["-C", "one", "push", "-q", "origin", "main"]).await;
    git(&["clone", "-q", "--depth", "1", "ws:repo.git", "two"]).await;
    assert!(fs::read(workspace.path("two/large")).unwrap() == noise(8 << 20));
    git(&["-C", "two", "commit", "-q", "--allow-empty", "-m", "second"]).await;
    git(&["-C", "two", "push", "-q", "origin", "main"]).await;
    git(&["-C", "one", "fetch", "-q"]).await;
    assert_eq!(git(&["-C", "one", "log", "-1", "--format=%s", "origin/main"]).await, "second\n");
}

/// An rsync, and where its libraries are if they are not the system's.
struct Rsync {
    program: PathBuf,
    libraries: PathBuf,
}

/// The machine's own, or else Debian's package unpacked under `target/tools`.
fn rsync() -> &'static Rsync {
    static FOUND: OnceLock<Rsync> = OnceLock::new();
    FOUND.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("target/tools");
        let unpacked = root.join("rsync");
        let own = std::process::Command::new("rsync").arg("--version").output().is_ok_and(|told| told.status.success());
        if own {
            return Rsync { program: "rsync".into(), libraries: PathBuf::new() };
        }
        if !unpacked.exists() {
            unpack(&root, &unpacked);
        }
        let machine = std::env::consts::ARCH;
        Rsync { program: unpacked.join("usr/bin/rsync"), libraries: unpacked.join(format!("usr/lib/{machine}-linux-gnu")) }
    })
}

/// Where it is whole, and not before, it gets its name.
fn unpack(root: &Path, unpacked: &Path) {
    fs::create_dir_all(root).unwrap();
    let folder = tempfile::TempDir::new_in(root).unwrap();
    let line =
        "apt-get download rsync libpopt0 libxxhash0 && mkdir all && for package in *.deb; do dpkg -x \"$package\" all; done";
    let done = std::process::Command::new("sh").args(["-ec", line]).current_dir(folder.path()).output().unwrap();
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "rsync is missing, and Debian's package cannot be fetched: install rsync. {told}");
    // Another test may have been faster.
    let _there = fs::rename(folder.path().join("all"), unpacked);
    assert!(unpacked.join("usr/bin/rsync").exists(), "Debian's rsync package holds no usr/bin/rsync");
}

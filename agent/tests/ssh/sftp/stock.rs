//! `sftp`, `scp` and `scp -O` of this machine, both ways.

use crate::harness::{Workspace, ends, noise, text, until};
use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
    },
    path::Path,
    process::{Output, Stdio},
    time::{Duration, SystemTime},
};
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

/// Longer than the largest file here takes, on a loaded machine too.
const TRANSFER: Duration = Duration::from_secs(300);
/// scp over SFTP, and scp over itself.
const BOTH: [&[&str]; 2] = [&[], &["-O"]];

async fn scp(workspace: &Workspace, options: &[&str], from: &str, to: &str) -> Output {
    let mut command = Command::new("scp");
    command.arg("-F").arg(workspace.path("config")).args(options).arg(from).arg(to);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = timeout(TRANSFER, command.output()).await.expect("scp came to no end").unwrap();
    assert!(output.status.success(), "scp {options:?} {from} {to}: {}", text(&output.stderr));
    output
}

/// Runs the commands of `script` in one session.
async fn sftp(workspace: &Workspace, options: &[&str], script: &str) -> Output {
    let mut command = Command::new("sftp");
    command.arg("-F").arg(workspace.path("config")).args(options).args(["-b", "-", "ws"]);
    command.current_dir(workspace.path("")).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).await.unwrap();
    ends(child).await
}

/// What the session prints without its own echo of the commands.
async fn says(workspace: &Workspace, script: &str) -> Vec<String> {
    let output = sftp(workspace, &[], script).await;
    assert!(output.status.success(), "{script}: {}", text(&output.stderr));
    text(&output.stdout).lines().filter(|line| !line.starts_with("sftp> ")).map(str::to_owned).collect()
}

async fn fails(workspace: &Workspace, script: &str, told: &str) {
    let output = sftp(workspace, &[], script).await;
    assert_eq!(output.status.code(), Some(1), "{script}");
    assert!(text(&output.stderr).contains(told), "{script}: {}", text(&output.stderr));
}

/// Path, mode, time of the last change and contents.
type File = (Vec<u8>, u32, i64, Vec<u8>);

/// All below `root`, by path.
fn tree(root: &Path) -> Vec<File> {
    let mut seen = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::metadata(&path).unwrap();
            let contents = if metadata.is_dir() { Vec::new() } else { fs::read(&path).unwrap() };
            let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
            seen.push((name, metadata.mode(), metadata.mtime(), contents));
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    seen.sort();
    seen
}

/// Files with names, sizes, modes and times of all kinds.
fn make_tree(root: &Path) {
    let names: [&[u8]; 7] =
        [b"plain", b"two words", b"new\nline", b"\xff\xfe not utf-8", b"quote'\"$(x)*?", b"-dash", "größe".as_bytes()];
    for folder in ["", "in side", "in side/deeper"] {
        fs::create_dir_all(root.join(folder)).unwrap();
        for (n, name) in names.iter().enumerate() {
            let path = root.join(folder).join(OsStr::from_bytes(name));
            fs::write(&path, noise(n * 20_000)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode([0o644, 0o755, 0o600, 0o400][n % 4])).unwrap();
            let past = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + n as u64);
            fs::File::options().read(true).open(&path).unwrap().set_modified(past).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trees_go_both_ways_with_names_modes_and_times() {
    let workspace = Workspace::start().await;
    make_tree(&workspace.path("tree"));
    let here = workspace.path("tree").display().to_string();
    let wanted = tree(&workspace.path("tree"));
    for (n, protocol) in BOTH.into_iter().enumerate() {
        let options = [protocol, &["-r", "-p"]].concat();
        scp(&workspace, &options, &here, &format!("ws:up{n}")).await;
        let back = workspace.path(&format!("back{n}")).display().to_string();
        scp(&workspace, &options, &format!("ws:up{n}"), &back).await;
        let (up, down) = (tree(&workspace.home(&format!("up{n}"))), tree(Path::new(&back)));
        // `scp -O` does not send a line break in a name as it is.
        let kept = |name: &[u8]| protocol.is_empty() || !name.ends_with(b"line");
        for seen in [up, down] {
            assert_eq!(seen.len(), wanted.len());
            let comparable = |tree: &[File]| tree.iter().filter(|file| kept(&file.0)).cloned().collect::<Vec<_>>();
            assert!(comparable(&seen) == comparable(&wanted), "{protocol:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_p_modes_follow_the_umask_and_times_are_now() {
    let workspace = Workspace::start().await;
    fs::write(workspace.path("script"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(workspace.path("script"), fs::Permissions::from_mode(0o777)).unwrap();
    let past = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::open(workspace.path("script")).unwrap().set_modified(past).unwrap();
    let umask = text(&workspace.run("umask").await.stdout).trim().to_owned();
    let umask = u32::from_str_radix(&umask, 8).unwrap();
    for (n, protocol) in BOTH.into_iter().enumerate() {
        scp(&workspace, protocol, &workspace.path("script").display().to_string(), &format!("ws:copy{n}")).await;
        let metadata = fs::metadata(workspace.home(&format!("copy{n}"))).unwrap();
        assert_eq!(metadata.mode() & 0o777, 0o777 & !umask);
        assert!(metadata.modified().unwrap() > past + Duration::from_secs(1000));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_arrives_whole_both_ways() {
    let workspace = Workspace::start().await;
    let piece = noise(1 << 20);
    let mut large = fs::File::create(workspace.path("large")).unwrap();
    for n in 0_u32..256 {
        std::io::Write::write_all(&mut large, &n.to_be_bytes()).unwrap();
        std::io::Write::write_all(&mut large, &piece[4..]).unwrap();
    }
    drop(large);
    let at = |name: &str| workspace.path(name).display().to_string();
    for protocol in BOTH {
        scp(&workspace, protocol, &at("large"), "ws:large").await;
        scp(&workspace, protocol, "ws:large", &at("back")).await;
        for copy in [workspace.home("large"), workspace.path("back")] {
            let same = Command::new("cmp").arg(at("large")).arg(&copy).output().await.unwrap();
            assert!(same.status.success(), "{}: {}", copy.display(), text(&same.stderr));
            fs::remove_file(copy).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_small_files_go_both_ways() {
    let workspace = Workspace::start().await;
    fs::create_dir(workspace.path("small")).unwrap();
    for n in 0..2000 {
        fs::write(workspace.path("small").join(n.to_string()), n.to_string().repeat(n % 50)).unwrap();
    }
    let contents = |root: &Path| tree(root).into_iter().map(|(name, _, _, contents)| (name, contents)).collect::<Vec<_>>();
    let wanted = contents(&workspace.path("small"));
    scp(&workspace, &["-r"], &workspace.path("small").display().to_string(), "ws:small").await;
    assert!(contents(&workspace.home("small")) == wanted);
    scp(&workspace, &["-r"], "ws:small", &workspace.path("back").display().to_string()).await;
    assert!(contents(&workspace.path("back")) == wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_does_what_users_do() {
    let workspace = Workspace::start().await;
    fs::write(workspace.path("file"), "hello\n").unwrap();
    let home = fs::canonicalize(workspace.home("")).unwrap();
    let seen = says(&workspace, "pwd\nmkdir a\nput file a/one\ncd a\nrename one two\nln two hard\nln -s two soft\nls -1\n").await;
    assert_eq!(seen[0], format!("Remote working directory: {}", home.display()));
    assert_eq!(seen.iter().filter(|line| ["hard", "soft", "two"].contains(&line.as_str())).count(), 3, "{seen:?}");
    assert_eq!(fs::read_link(workspace.home("a/soft")).unwrap(), Path::new("two"));
    assert_eq!(fs::metadata(workspace.home("a/hard")).unwrap().nlink(), 2);

    says(&workspace, "chmod 600 a/two\nget -p a/soft back\nrm a/soft\nrm a/hard\nrm a/two\nrmdir a\n").await;
    let back = fs::metadata(workspace.path("back")).unwrap();
    assert_eq!((back.len(), back.mode() & 0o777), (6, 0o600));
    assert_eq!(fs::read_dir(workspace.home("")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_listings_are_those_of_ls() {
    let workspace = Workspace::start().await;
    fs::write(workspace.home("new"), "hello\n").unwrap();
    fs::write(workspace.home("old"), "x".repeat(123_456)).unwrap();
    fs::File::open(workspace.home("old"))
        .unwrap()
        .set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000))
        .unwrap();
    fs::set_permissions(workspace.home("old"), fs::Permissions::from_mode(0o4750)).unwrap();
    symlink("old", workspace.home("soft")).unwrap();
    fs::create_dir(workspace.home("folder")).unwrap();
    let squeeze = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut seen: Vec<_> = says(&workspace, "ls -l\n").await.iter().map(|line| squeeze(line)).collect();
    let output = Command::new("ls").args(["-l"]).arg(workspace.home("")).env("LC_ALL", "C").output().await.unwrap();
    // The protocol has no number of links, which is the second word of a line.
    let without_links = |line: &str| {
        let line = squeeze(line.split(" -> ").next().unwrap());
        let (mode, rest) = line.split_once(' ').unwrap();
        format!("{mode} ? {}", rest.split_once(' ').unwrap().1)
    };
    let mut wanted: Vec<_> = text(&output.stdout).lines().skip(1).map(without_links).collect();
    seen.sort();
    wanted.sort();
    assert_eq!(seen, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn room_on_the_disk_is_told() {
    let workspace = Workspace::start().await;
    let seen = says(&workspace, "df\n").await;
    assert!(seen[0].contains("Size") && seen[1].contains('%'), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_says_why() {
    let workspace = Workspace::start().await;
    fs::create_dir_all(workspace.home("full/inner")).unwrap();
    fs::write(workspace.home("file"), "").unwrap();
    fails(&workspace, "get nosuch\n", "File \"").await;
    fails(&workspace, "rmdir full\n", "remote rmdir \"").await;
    fails(&workspace, "mkdir file\n", "remote mkdir \"").await;
    fails(&workspace, "rm nosuch\n", "No such file").await;
    fails(&workspace, "cd file\n", "is not a directory").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_transfers_go_on_where_they_stopped() {
    let workspace = Workspace::start().await;
    let data = noise(300_000);
    fs::write(workspace.path("whole"), &data).unwrap();
    fs::write(workspace.home("whole"), &data[..100_001]).unwrap();
    says(&workspace, "reput whole whole\n").await;
    assert!(fs::read(workspace.home("whole")).unwrap() == data);
    fs::write(workspace.path("part"), &data[..200_001]).unwrap();
    says(&workspace, "reget whole part\n").await;
    assert!(fs::read(workspace.path("part")).unwrap() == data);
}

#[tokio::test(flavor = "multi_thread")]
async fn small_requests_and_many_of_them_are_served() {
    let workspace = Workspace::start().await;
    let data = noise(2_000_003);
    fs::write(workspace.path("data"), &data).unwrap();
    for options in [["-B", "1000", "-R", "512"], ["-B", "261120", "-R", "1"], ["-B", "33333", "-R", "7"]] {
        let output = sftp(&workspace, &options, "put data up\nget up down\n").await;
        assert!(output.status.success(), "{options:?}: {}", text(&output.stderr));
        assert!(fs::read(workspace.home("up")).unwrap() == data && fs::read(workspace.path("down")).unwrap() == data);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_leaves_what_was_sent() {
    let workspace = Workspace::start().await;
    fs::write(workspace.path("data"), noise(64 << 20)).unwrap();
    let mut command = Command::new("scp");
    command.arg("-F").arg(workspace.path("config")).arg(workspace.path("data")).arg("ws:data");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("some of it", || fs::metadata(workspace.home("data")).is_ok_and(|data| data.len() > 1 << 20)).await;
    child.kill().await.unwrap();
    workspace.stop().await;
    let here = fs::read(workspace.path("data")).unwrap();
    assert!(here.starts_with(&fs::read(workspace.home("data")).unwrap()));
}

/// It may be there to keep its account from running programs; sshd starts `sftp-server` through every shell.
#[tokio::test(flavor = "multi_thread")]
async fn a_shell_that_the_machine_does_not_list_is_asked() {
    for (script, lets) in [("exec /bin/bash \"$@\"", true), ("echo not for you >&2; exit 1", false)] {
        let folder = tempfile::tempdir().unwrap();
        let shell = folder.path().join("shell");
        fs::write(&shell, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&shell, fs::Permissions::from_mode(0o755)).unwrap();
        let workspace = Workspace::with(|account| account.shell = shell).await;
        for has_script in [false, true] {
            if has_script {
                fs::create_dir(workspace.path("etc/ssh")).unwrap();
                fs::write(workspace.path("etc/ssh/sshrc"), "true\n").unwrap();
            }
            let output = sftp(&workspace, &[], "mkdir made\nrmdir made\n").await;
            assert_eq!(output.status.success(), lets, "{}", text(&output.stderr));
            assert_eq!(text(&output.stderr).contains("not for you"), !lets);
        }
    }
}

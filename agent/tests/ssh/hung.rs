//! A file system that does not answer: whoever asks it waits, and nobody else. Where none can be mounted there is nothing to see.

use crate::{
    channels::login,
    harness::{Workspace, text},
};
use russh::ChannelMsg;
use std::{
    fs::File,
    path::PathBuf,
    process::{Command, Stdio},
    sync::mpsc::{SyncSender, sync_channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt, time::timeout};

/// Longer than anything takes here that is served, and than the agent waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// A FUSE without anybody behind it: calls into its folder wait until this is dropped, or [`PATIENCE`] is over, in which a runtime
/// that waits too hears of nothing.
struct Hung {
    folder: TempDir,
    _server: File,
    end: Option<SyncSender<()>>,
    unmounts: Option<JoinHandle<()>>,
}

impl Hung {
    fn mount() -> Option<Self> {
        let server = File::options().read(true).write(true).open("/dev/fuse").ok()?;
        let folder = TempDir::new().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-i", "-t", "fuse", "-o", "fd=0,rootmode=40000,user_id=0,group_id=0", "hung"]).arg(folder.path());
        if !mount.stdin(server.try_clone().unwrap()).stderr(Stdio::null()).status().unwrap().success() {
            return None;
        }
        let (end, ended) = sync_channel(0);
        let mut unmount = Command::new("umount");
        unmount.arg("-fl").arg(folder.path());
        let unmounts = thread::spawn(move || {
            let _over = ended.recv_timeout(PATIENCE);
            assert!(unmount.status().unwrap().success());
        });
        Some(Self { folder, _server: server, end: Some(end), unmounts: Some(unmounts) })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        self.end.take();
        let _failed = self.unmounts.take().map(JoinHandle::join);
    }
}

/// Another connection logs in, and is connected to where it wishes.
async fn others_are_served(workspace: &Workspace) {
    let begun = Instant::now();
    let served = async {
        let other = login(workspace).await;
        let channel = other.channel_open_direct_tcpip("127.0.0.1", workspace.port().into(), "127.0.0.1", 1).await.unwrap();
        let mut hello = [0; 4];
        channel.into_stream().read_exact(&mut hello).await.unwrap();
        assert_eq!(&hello, b"SSH-");
    };
    timeout(PATIENCE, served).await.expect("the whole server waits");
    assert!(begun.elapsed() < PATIENCE / 2, "the whole server waited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_home_that_does_not_answer_holds_up_its_programs_alone() {
    let Some(hung) = Hung::mount() else { return };
    let workspace = Workspace::with(|account| account.home = hung.path("dev")).await;
    let session = login(&workspace).await;
    let (mut command, shell) = (session.channel_open_session().await.unwrap(), session.channel_open_session().await.unwrap());
    command.exec(false, "echo in").await.unwrap();
    shell.request_pty(false, "xterm", 80, 24, 0, 0, &[]).await.unwrap();
    shell.request_shell(false).await.unwrap();
    others_are_served(&workspace).await;
    drop(hung);
    let mut said = String::new();
    while let Some(message) = timeout(PATIENCE, command.wait()).await.unwrap() {
        if let ChannelMsg::Data { data } = message {
            said.push_str(text(&data));
        }
    }
    assert_eq!(said, "in\n", "the home answers again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_sockets_folder_that_does_not_answer_holds_up_its_connection_alone() {
    let Some(hung) = Hung::mount() else { return };
    let workspace = Workspace::start().await;
    let (local, remote) = (login(&workspace).await, login(&workspace).await);
    let socket = hung.path("socket").display().to_string();
    let connects = local.channel_open_direct_streamlocal(socket.clone());
    let listens = remote.streamlocal_forward(socket.clone());
    let waits = async { tokio::join!(connects, listens) };
    let (refused, ()) = tokio::join!(timeout(PATIENCE, waits), others_are_served(&workspace));
    let (connected, listening) = refused.expect("neither was told that it waits in vain");
    assert!(connected.is_err() && listening.is_err());
    others_are_served(&workspace).await;
}

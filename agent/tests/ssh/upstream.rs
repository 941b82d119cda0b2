//! Connections that a server beside the agent takes: here another workspace's, reached through `--upstream`'s module.

use crate::harness::{Workspace, ends, noise, text};
use drawbridge_agent::upstream::Upstream;
use std::net::SocketAddr;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// Takes connections as the agent does and hands them to `upstream`; gone when dropped.
struct Front {
    address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Front {
    async fn of(upstream: Upstream) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let upstream = upstream.clone();
                connections.spawn(async move { upstream.serve(stream, &CancellationToken::new()).await });
            }
        });
        Self { address, _serving: serving }
    }

    /// `ssh` that reaches the workspace's name through here.
    fn options(&self) -> [String; 2] {
        [format!("-oPort={}", self.address.port()), "-oHostKeyAlias=upstream".to_owned()]
    }
}

fn trusting(workspace: &Workspace) {
    let known = std::fs::read_to_string(workspace.path("known_hosts")).unwrap();
    let key = known.split_once(' ').unwrap().1;
    std::fs::write(workspace.path("known_hosts"), format!("upstream {key}")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_beside_the_agent_is_reached_to_the_byte() {
    let workspace = Workspace::start().await;
    trusting(&workspace);
    let front = Front::of(format!("127.0.0.1:{}", workspace.port()).parse().unwrap()).await;
    let options = front.options();
    let options = [options[0].as_str(), options[1].as_str()];
    let data = noise(5 << 20);
    let output = workspace.run_with(&options, "cat; echo err >&2; exit 9", &data).await;
    assert_eq!((output.stdout == data, text(&output.stderr), output.status.code()), (true, "err\n", Some(9)));
    let stopped = workspace.ssh(&options).arg("ws").arg("echo on > on; exec sleep 600").spawn().unwrap();
    crate::harness::line_in(&workspace.home("on")).await;
    drop(front);
    assert_eq!(ends(stopped).await.status.code(), Some(255));
}

#[tokio::test(flavor = "multi_thread")]
async fn ssh_tells_that_the_server_is_not_there() {
    let workspace = Workspace::start().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let front = Front::of(nobody.to_string().parse().unwrap()).await;
    let options = front.options();
    let output = workspace.run_with(&[&options[0], &options[1]], "true", &[]).await;
    assert_eq!(output.status.code(), Some(255));
    let told = format!("the workspace's own SSH server does not answer at {nobody}: start it");
    assert!(text(&output.stderr).contains(&told), "{}", text(&output.stderr));
}

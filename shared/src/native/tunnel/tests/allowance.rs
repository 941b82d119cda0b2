//! The agent's side of QUIC keeps buffers for every stream that may come: few may before any is taken, and many after.

use super::{Transport, Tunnel, pair};
use bytes::Bytes;
use futures_util::poll;
use std::{pin::pin, task::Poll};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_streams_come_before_any_is_taken_and_many_after() {
    const MANY: usize = 200;
    let story = async |agent: Tunnel, daemon: Tunnel| {
        let mut held = Vec::new();
        while let Poll::Ready(stream) = poll!(pin!(daemon.open())) {
            held.push(stream.unwrap());
        }
        assert!((1..MANY).contains(&held.len()), "{} streams came untaken", held.len());
        for (_, writer) in &mut held {
            writer.send(Bytes::from_static(b"!")).await.unwrap();
        }
        let opens = async {
            while held.len() < MANY {
                let mut stream = daemon.open().await.unwrap();
                stream.1.send(Bytes::from_static(b"!")).await.unwrap();
                held.push(stream);
            }
        };
        let takes = async {
            let mut taken = Vec::new();
            while taken.len() < MANY {
                taken.push(agent.accept().await.unwrap());
            }
            taken
        };
        tokio::join!(opens, takes);
    };
    pair(Transport::Quic).await.run(story).await;
}

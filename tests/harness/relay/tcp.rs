//! TCP through the relay: a pair of connections, ended together.

use super::{Faults, line::line};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

/// Bytes read at once.
const PIECE: usize = 16 * 1024;

/// Forwards for ever.
pub(super) async fn relay(listener: TcpListener, target: SocketAddr, faults: watch::Receiver<Faults>) {
    let mut pairs = JoinSet::new();
    loop {
        tokio::select! {
            Ok((client, _)) = listener.accept() => drop(pairs.spawn(pair(client, target, faults.clone()))),
            Some(_) = pairs.join_next() => {}
        }
    }
}

/// One connection to its end: both directions have ended, one broke, or it was cut; the last two are resets.
async fn pair(mut client: TcpStream, target: SocketAddr, faults: watch::Receiver<Faults>) {
    let cuts = faults.borrow().cuts;
    passing(&faults).await;
    let Ok(mut upstream) = TcpStream::connect(target).await else { return };
    let _both = (client.set_nodelay(true), upstream.set_nodelay(true));
    let (from_client, to_client) = client.split();
    let (from_target, to_target) = upstream.split();
    let orderly = tokio::select! {
        both = async { tokio::try_join!(carry(from_client, to_target, &faults), carry(from_target, to_client, &faults)) } => both.is_ok(),
        _ = cut(faults.clone(), cuts) => false,
    };
    if !orderly {
        let _both = (client.set_zero_linger(), upstream.set_zero_linger());
    }
}

async fn cut(mut faults: watch::Receiver<Faults>, cuts: u64) {
    // Fails only when the relay ends, which ends this too.
    let _ = faults.wait_for(|now| now.cuts != cuts).await;
}

async fn carry(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, faults: &watch::Receiver<Faults>) -> std::io::Result<()> {
    let (line, mut end) = line(faults.clone());
    let reads = async move {
        let mut buffer = vec![0; PIECE];
        loop {
            let length = from.read(&mut buffer).await?;
            if length == 0 || !line.put(buffer[..length].to_vec()).await {
                return Ok(());
            }
        }
    };
    let writes = async {
        while let Some(piece) = end.next().await {
            passing(faults).await;
            to.write_all(&piece).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(reads, writes).map(drop)
}

async fn passing(faults: &watch::Receiver<Faults>) {
    // Fails only when the relay ends, which ends this too.
    let _ = faults.clone().wait_for(|now| now.tcp && !now.stalled).await;
}

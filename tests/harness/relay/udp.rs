//! UDP through the relay: one flow a client.

use super::{
    Faults,
    line::{Line, line},
};
use std::{
    collections::{HashMap, HashSet},
    io,
    net::SocketAddr,
    sync::Arc,
};
use tokio::{net::UdpSocket, sync::watch, task::JoinSet};

/// Longest datagram.
const DATAGRAM: usize = 65_535;

/// A client's way to the target and back. Dropping it ends both.
struct Flow {
    up: Line,
    bindings: u64,
    _tasks: JoinSet<()>,
}

/// Forwards for ever.
pub(super) async fn relay(socket: UdpSocket, target: SocketAddr, faults: watch::Receiver<Faults>) {
    let socket = Arc::new(socket);
    let (mut flows, mut dead): (HashMap<SocketAddr, Flow>, HashSet<SocketAddr>) = Default::default();
    let mut cuts = 0;
    let mut buffer = vec![0; DATAGRAM];
    loop {
        // On Linux an answer "port unreachable" to an earlier packet is told here.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else { continue };
        let now = *faults.borrow();
        if now.cuts != cuts {
            cuts = now.cuts;
            dead.extend(flows.drain().map(|(client, _)| client));
        }
        if dead.contains(&client) || swallowed(&now) {
            continue;
        }
        if flows.get(&client).is_none_or(|flow| flow.bindings != now.bindings) {
            let Ok(flow) = open(&socket, client, target, &faults).await else { continue };
            flows.insert(client, flow);
        }
        if let Some(flow) = flows.get(&client) {
            flow.up.offer(buffer[..length].to_vec());
        }
    }
}

fn swallowed(faults: &Faults) -> bool {
    !faults.udp || faults.stalled || rand::random::<f64>() < faults.loss
}

async fn open(
    socket: &Arc<UdpSocket>,
    client: SocketAddr,
    target: SocketAddr,
    faults: &watch::Receiver<Faults>,
) -> io::Result<Flow> {
    let upstream = Arc::new(UdpSocket::bind("127.0.0.1:0").await?);
    upstream.connect(target).await?;
    let ((up, mut up_end), (down, mut down_end)) = (line(faults.clone()), line(faults.clone()));
    let mut tasks = JoinSet::new();
    let (there, back) = (upstream.clone(), socket.clone());
    // A packet that cannot be sent is lost, as packets are.
    tasks.spawn(async move {
        while let Some(piece) = up_end.next().await {
            let _ = there.send(&piece).await;
        }
    });
    tasks.spawn(async move {
        while let Some(piece) = down_end.next().await {
            let _ = back.send_to(&piece, client).await;
        }
    });
    let born = *faults.borrow();
    tasks.spawn(listen(upstream, down, faults.clone(), born.cuts));
    Ok(Flow { up, bindings: born.bindings, _tasks: tasks })
}

/// What the target answers, until the flow is cut.
async fn listen(upstream: Arc<UdpSocket>, down: Line, faults: watch::Receiver<Faults>, cuts: u64) {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let Ok(length) = upstream.recv(&mut buffer).await else { continue };
        let now = *faults.borrow();
        if now.cuts != cuts {
            return;
        }
        if !swallowed(&now) {
            down.offer(buffer[..length].to_vec());
        }
    }
}

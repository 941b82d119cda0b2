//! UDP through the relay: one flow a client.

use super::{
    Faults,
    line::{Line, line},
};
use std::{
    collections::{HashMap, HashSet},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};
use tokio::{net::UdpSocket, sync::watch, task::JoinSet};

/// Longest datagram.
const DATAGRAM: usize = 65_535;

/// A client's way to the target and back. Dropping it ends both.
struct Flow {
    up: Line,
    bindings: u64,
    used: Arc<Used>,
    _tasks: JoinSet<()>,
}

/// When a flow last carried anything, either way.
struct Used(Mutex<Instant>);

/// Packets that wait here while the relay does something else, in bytes: what it loses beyond its orders is no network's.
const BUFFER: usize = 4 << 20;

/// One that is free.
pub(super) async fn socket() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    rustix::net::sockopt::set_socket_recv_buffer_size(&socket, BUFFER)?;
    rustix::net::sockopt::set_socket_send_buffer_size(&socket, BUFFER)?;
    Ok(socket)
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
        if flows.get(&client).is_none_or(|flow| flow.bindings != now.bindings || flow.used.is_forgotten(&now)) {
            let Ok(flow) = open(&socket, client, target, &faults).await else { continue };
            flows.insert(client, flow);
        }
        if let Some(flow) = flows.get(&client) {
            flow.used.again();
            flow.up.offer(buffer[..length].to_vec());
        }
    }
}

fn swallowed(faults: &Faults) -> bool {
    !faults.udp || faults.stalled
}

impl Used {
    fn again(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn is_forgotten(&self, faults: &Faults) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        faults.memory.is_some_and(|memory| last.elapsed() > memory)
    }
}

async fn open(
    socket: &Arc<UdpSocket>,
    client: SocketAddr,
    target: SocketAddr,
    faults: &watch::Receiver<Faults>,
) -> io::Result<Flow> {
    let upstream = Arc::new(self::socket().await?);
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
    let (born, used) = (*faults.borrow(), Arc::new(Used(Mutex::new(Instant::now()))));
    tasks.spawn(listen(upstream, down, faults.clone(), born.cuts, used.clone()));
    Ok(Flow { up, bindings: born.bindings, used, _tasks: tasks })
}

/// What the target answers, until the flow is cut.
async fn listen(upstream: Arc<UdpSocket>, down: Line, faults: watch::Receiver<Faults>, cuts: u64, used: Arc<Used>) {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let Ok(length) = upstream.recv(&mut buffer).await else { continue };
        let now = *faults.borrow();
        if now.cuts != cuts || used.is_forgotten(&now) {
            return;
        }
        if !swallowed(&now) {
            used.again();
            down.offer(buffer[..length].to_vec());
        }
    }
}

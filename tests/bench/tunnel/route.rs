//! A way through a tunnel: rathole's, or ours over one transport.

use crate::{ours, rathole, traffic};
use anyhow::{Context, Result};
use e2e::pairs::Way;
use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Child,
    thread,
    time::{Duration, Instant},
};

/// As the figures' peer is called.
pub(crate) const PEER: &str = "rathole";
/// Both ends stand within this time.
const START: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(50);

/// Two processes, and where visitors come in.
pub(crate) struct Route {
    name: &'static str,
    ends: [Child; 2],
    /// The first one's.
    pub(crate) visitors: SocketAddr,
}

impl Route {
    /// The peer's first, all to `service`.
    pub(crate) fn all(rathole: &Path, folder: &Path, service: SocketAddr) -> Result<Vec<Self>> {
        let (tunnel, visitors) = (free()?, free()?);
        let peer = Self { name: PEER, ends: rathole::start(rathole, folder, [tunnel, visitors, service])?, visitors };
        let mut routes = vec![peer];
        for name in ["quic", "websocket"] {
            let (tunnel, visitors) = (free()?, free()?);
            routes.push(Self { name, ends: ours::start(name, [tunnel, visitors, service])?, visitors });
        }
        routes.iter().try_for_each(Self::stands)?;
        Ok(routes)
    }

    fn stands(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            match traffic::first_byte(self.visitors) {
                Ok(_) => return Ok(()),
                Err(fault) if begun.elapsed() > START => {
                    return Err(fault).with_context(|| format!("no way through {}", self.name));
                }
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }
}

impl Way for Route {
    fn name(&self) -> &'static str {
        self.name
    }

    fn hops(&self) -> [u32; 2] {
        [self.ends[0].id(), self.ends[1].id()]
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        for end in &mut self.ends {
            // Fails only when it has ended.
            let _ = end.kill();
            let _ = end.wait();
        }
    }
}

/// A port of the loopback that nobody uses now.
fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

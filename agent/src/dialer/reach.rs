//! One call to a daemon: QUIC and WebSocket against each other, over all addresses that its name stands for.

use super::race::{Runner, race};
use crate::limits::{ADDRESS_HEAD_START, DIAL_TIMEOUT, TRANSPORT_HEAD_START};
use drawbridge_shared::native::{
    identity::PublicIdentity,
    quic::{self, QuicFault},
    tunnel::{Transport, Tunnel},
    websocket::{self, Proxies, ProxyFault, Way, WebSocketFault},
};
use futures_util::FutureExt;
use std::{fmt, io, net::SocketAddr, sync::Arc};
use tokio::{net, time};

/// Which transports an agent may use, and how it gets out.
#[derive(Clone, Debug)]
pub struct Routes {
    /// Which.
    pub choice: Choice,
    /// Through what.
    pub proxies: Arc<Proxies>,
}

/// Which transports may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Choice {
    /// QUIC where it gets through, WebSocket where it does not
    Auto,
    /// QUIC only
    Quic,
    /// WebSocket only
    #[value(name = "websocket")]
    WebSocket,
}

/// A tunnel that came about.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) tunnel: Tunnel,
    pub(super) address: String,
    pub(super) proxy: Option<String>,
    /// Why it is this transport.
    pub(super) why: String,
}

/// Why one transport found no way.
#[derive(Debug, thiserror::Error)]
pub(super) enum RouteFault {
    #[error("{0} cannot be resolved: {1}")]
    Name(String, io::Error),
    #[error("{0} stands for no address")]
    Nowhere(String),
    #[error("QUIC to {0}: {1}")]
    Quic(SocketAddr, QuicFault),
    #[error("QUIC to {0}: no answer within {limit} s", limit = DIAL_TIMEOUT.as_secs())]
    Silent(SocketAddr),
    #[error("WebSocket to {0}: {1}")]
    WebSocket(String, WebSocketFault),
    #[error("{0}")]
    Proxy(#[from] ProxyFault),
}

/// Neither did.
#[derive(Debug, thiserror::Error)]
pub(super) struct NoRoute(Vec<RouteFault>);

impl fmt::Display for NoRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&words.join("; "))
    }
}

impl Routes {
    /// Calls the daemon with `identity` at `name`, a host and a port, which is looked up anew. What worked `last` has the
    /// head start.
    pub(super) async fn call(&self, name: &str, identity: PublicIdentity, last: Option<Transport>) -> Result<Found, NoRoute> {
        let order = order(self.choice, last);
        let runners = order.iter().map(|transport| self.runner(*transport, name, identity)).collect();
        match race(runners, TRANSPORT_HEAD_START).await {
            Ok((mut found, faults)) => {
                found.why = why(self.choice, order, found.tunnel.transport(), faults.into_iter().flatten().next());
                Ok(found)
            }
            Err(faults) => Err(NoRoute(faults.into_iter().flatten().collect())),
        }
    }

    /// QUIC alone, to see whether it gets through again.
    pub(super) async fn probe(&self, name: &str, identity: PublicIdentity) -> Result<Found, NoRoute> {
        let mut found = over_quic(name, identity).await.map_err(NoRoute)?;
        found.why = "QUIC gets through again".into();
        Ok(found)
    }

    fn runner<'a>(&'a self, transport: Transport, name: &'a str, identity: PublicIdentity) -> Runner<'a, Found, Vec<RouteFault>> {
        match transport {
            Transport::Quic => over_quic(name, identity).boxed(),
            Transport::WebSocket => self.over_websocket(name, identity).boxed(),
        }
    }

    async fn over_websocket(&self, name: &str, identity: PublicIdentity) -> Result<Found, Vec<RouteFault>> {
        let ways = match self.proxies.way(name).map_err(|fault| vec![RouteFault::from(fault)])? {
            Some(way) => vec![way],
            None => resolve(name).await?.into_iter().map(Way::Straight).collect(),
        };
        let runners = ways.into_iter().map(|way| websocket_to(way, identity).boxed()).collect();
        race(runners, ADDRESS_HEAD_START).await.map(|(found, _)| found)
    }
}

async fn over_quic(name: &str, identity: PublicIdentity) -> Result<Found, Vec<RouteFault>> {
    let runners = resolve(name).await?.into_iter().map(|address| quic_to(address, identity).boxed()).collect();
    race(runners, ADDRESS_HEAD_START).await.map(|(found, _)| found)
}

async fn quic_to(address: SocketAddr, identity: PublicIdentity) -> Result<Found, RouteFault> {
    let dialled = time::timeout(DIAL_TIMEOUT, quic::dial(address, identity)).await;
    let tunnel = dialled.map_err(|_| RouteFault::Silent(address))?.map_err(|fault| RouteFault::Quic(address, fault))?;
    Ok(Found { tunnel, address: address.to_string(), proxy: None, why: String::new() })
}

async fn websocket_to(way: Way, identity: PublicIdentity) -> Result<Found, RouteFault> {
    let (address, proxy) = match &way {
        Way::Straight(address) => (address.to_string(), None),
        Way::Through(proxy, target) => (target.authority().map(ToString::to_string).unwrap_or_default(), Some(proxy.to_string())),
    };
    match websocket::dial(way, identity).await {
        Ok(tunnel) => Ok(Found { tunnel, address, proxy, why: String::new() }),
        Err(fault) => Err(RouteFault::WebSocket(address, fault)),
    }
}

async fn resolve(name: &str) -> Result<Vec<SocketAddr>, Vec<RouteFault>> {
    let found = net::lookup_host(name).await.map_err(|fault| vec![RouteFault::Name(name.into(), fault)])?;
    let addresses = alternating(found.collect());
    if addresses.is_empty() { Err(vec![RouteFault::Nowhere(name.into())]) } else { Ok(addresses) }
}

/// The resolver's order, but IPv6 and IPv4 in turn (RFC 8305 section 4): where one does not get out, the other is near.
fn alternating(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut preferred, mut others): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|a| a.is_ipv6() == first_is_v6);
    let mut order = Vec::with_capacity(preferred.len() + others.len());
    let (mut preferred, mut others) = (preferred.drain(..), others.drain(..));
    loop {
        let pair = [preferred.next(), others.next()];
        if pair.iter().all(Option::is_none) {
            return order;
        }
        order.extend(pair.into_iter().flatten());
    }
}

/// Who runs, the one with the head start first.
const fn order(choice: Choice, last: Option<Transport>) -> &'static [Transport] {
    match (choice, last) {
        (Choice::Quic, _) => &[Transport::Quic],
        (Choice::WebSocket, _) => &[Transport::WebSocket],
        (Choice::Auto, Some(Transport::WebSocket)) => &[Transport::WebSocket, Transport::Quic],
        (Choice::Auto, _) => &[Transport::Quic, Transport::WebSocket],
    }
}

/// Why `won` serves, for people.
fn why(choice: Choice, order: &[Transport], won: Transport, fault: Option<RouteFault>) -> String {
    match (choice, won) {
        (Choice::Quic | Choice::WebSocket, _) => format!("--transport {won}"),
        _ if order.first() == Some(&won) && won == Transport::WebSocket => "it is what worked last".into(),
        _ if order.first() == Some(&won) => "it got through".into(),
        _ => fault.map_or_else(
            || format!("no answer over {} for {} ms", order[0], TRANSPORT_HEAD_START.as_millis()),
            |fault| fault.to_string(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Transport::{Quic, WebSocket};

    #[test]
    fn what_worked_last_has_the_head_start() {
        assert_eq!(order(Choice::Auto, None), [Quic, WebSocket]);
        assert_eq!(order(Choice::Auto, Some(Quic)), [Quic, WebSocket]);
        assert_eq!(order(Choice::Auto, Some(WebSocket)), [WebSocket, Quic]);
        assert_eq!(order(Choice::Quic, Some(WebSocket)), [Quic]);
        assert_eq!(order(Choice::WebSocket, None), [WebSocket]);
    }

    #[test]
    fn families_take_turns() {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let found = parse(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]);
        assert_eq!(alternating(found), parse(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]));
        let found = parse(&["1.1.1.1:1", "[::1]:1"]);
        assert_eq!(alternating(found.clone()), found);
        assert!(alternating(vec![]).is_empty());
    }

    #[test]
    fn the_reason_is_said() {
        let auto = |last, won, fault| why(Choice::Auto, order(Choice::Auto, last), won, fault);
        assert_eq!(auto(None, Quic, None), "it got through");
        assert_eq!(auto(None, WebSocket, None), "no answer over quic for 300 ms");
        assert_eq!(auto(Some(WebSocket), WebSocket, None), "it is what worked last");
        let fault = RouteFault::Quic("1.1.1.1:443".parse().unwrap(), io::Error::other("network unreachable").into());
        assert!(auto(None, WebSocket, Some(fault)).starts_with("QUIC to 1.1.1.1:443: "));
        assert_eq!(why(Choice::WebSocket, &[WebSocket], WebSocket, None), "--transport websocket");
    }
}

//! Which proxy stands before a daemon and the edge: as the environment says (HTTPS_PROXY, ALL_PROXY, NO_PROXY, as curl reads them), or
//! one that was given.

use super::way::{Proxy, Way};
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::ClientBuilder;
use std::fmt;
use tokio_tungstenite::tungstenite::http::{Uri, uri::Scheme};

/// The rule.
pub struct Proxies {
    matcher: Matcher,
    /// Whether it was given, and the environment says nothing.
    given: bool,
}

/// A proxy that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyFault {
    /// No address of one.
    #[error("no address of a proxy: http://host:port, or http://user:password@host:port")]
    Address,
    /// Not by CONNECT over plain HTTP.
    #[error("a proxy of kind '{0}' is not supported, only http:// with CONNECT")]
    Kind(String),
    /// The daemon's own name.
    #[error("'{0}' is no host and port")]
    Target(String),
}

impl Proxies {
    /// As the environment says now.
    pub fn from_environment() -> Self {
        Self { matcher: Matcher::from_env(), given: false }
    }

    /// None at all.
    pub fn none() -> Self {
        Self { matcher: Matcher::builder().build(), given: true }
    }

    /// The one at `url`, for every daemon and the edge.
    pub fn fixed(url: &str) -> Result<Self, ProxyFault> {
        let proxies = Self { matcher: Matcher::builder().all(url).build(), given: true };
        match proxies.way("daemon:443")? {
            Some(_) => Ok(proxies),
            None => Err(ProxyFault::Address),
        }
    }

    /// The way to `target`, a host and a port, if it leads through a proxy.
    pub fn way(&self, target: &str) -> Result<Option<Way>, ProxyFault> {
        let bad = |_| ProxyFault::Target(target.into());
        let target = Uri::builder().scheme(Scheme::HTTPS).authority(target).path_and_query("/").build().map_err(bad)?;
        let Some(intercept) = self.matcher.intercept(&target) else { return Ok(None) };
        let address = intercept.uri().clone();
        if address.scheme() != Some(&Scheme::HTTP) {
            return Err(ProxyFault::Kind(address.scheme_str().unwrap_or_default().into()));
        }
        Ok(Some(Way::Through(Proxy::new(address, intercept.basic_auth().cloned()), target)))
    }

    /// `client` under this rule. What the environment says it reads itself.
    pub(in crate::native) fn lead(&self, client: ClientBuilder) -> reqwest::Result<ClientBuilder> {
        if !self.given {
            return Ok(client);
        }
        let direct = client.no_proxy();
        let Some(intercept) = self.matcher.intercept(&Uri::from_static("https://edge/")) else { return Ok(direct) };
        let proxy = reqwest::Proxy::all(intercept.uri().to_string())?;
        let credentials = intercept.basic_auth().cloned();
        Ok(direct.proxy(credentials.into_iter().fold(proxy, reqwest::Proxy::custom_http_auth)))
    }
}

impl fmt::Debug for Proxies {
    /// A proxy's address may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proxies(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_proxy_is_for_every_daemon_and_shows_no_password() {
        let proxies = Proxies::fixed("http://alice:secret@proxy.example:3128").unwrap();
        let way = proxies.way("[::1]:443").unwrap().unwrap();
        let Way::Through(proxy, target) = &way else { panic!("{way:?}") };
        assert_eq!((proxy.to_string().as_str(), target.port_u16()), ("proxy.example:3128", Some(443)));
        let shown = format!("{way:?} {proxies:?}");
        assert!(shown.contains("..@proxy.example:3128") && !shown.contains("secret") && !shown.contains("alice"), "{shown}");
        assert!(matches!(Proxies::fixed("proxy.example:3128").unwrap().way("daemon:443"), Ok(Some(_))));
    }

    #[test]
    fn what_is_no_such_proxy_is_refused_in_words() {
        assert_eq!(Proxies::fixed("socks5://proxy:1080").unwrap_err(), ProxyFault::Kind("socks5".into()));
        assert_eq!(Proxies::fixed("https://proxy").unwrap_err(), ProxyFault::Kind("https".into()));
        for bad in ["", "ftp://proxy", "http://"] {
            assert_eq!(Proxies::fixed(bad).unwrap_err(), ProxyFault::Address, "{bad}");
        }
        assert!(matches!(Proxies::fixed("http://p").unwrap().way("no host"), Err(ProxyFault::Target(_))));
    }

    #[test]
    fn no_proxy_is_heeded() {
        let matcher = Matcher::builder().all("http://p:1").no(".internal, 10.0.0.0/8").build();
        let proxies = Proxies { matcher, given: false };
        for (target, proxied) in
            [("a.example:443", true), ("a.internal:443", false), ("10.1.2.3:443", false), ("11.1.2.3:1", true)]
        {
            assert_eq!(proxies.way(target).unwrap().is_some(), proxied, "{target}");
        }
        assert!(Proxies::none().way("a.example:443").unwrap().is_none());
    }
}

//! The options that say how daemons are reached, and through which proxy the edge.

use crate::dialer::{Choice, Routes};
use clap::Args;
use drawbridge_shared::native::{options::Faults, websocket::Proxies};
use std::{fmt, str::FromStr, sync::Arc};

/// As given.
#[derive(Args, Debug)]
pub(super) struct RouteOptions {
    /// What carries tunnels
    #[arg(long, env = "DRAWBRIDGE_TRANSPORT", default_value = "auto", value_enum)]
    transport: Choice,
    /// HTTP proxy for calls to the edge and for tunnels over WebSocket, http://[user:password@]host:port, or `none` [default:
    /// HTTPS_PROXY, ALL_PROXY and NO_PROXY]
    #[arg(long, env = "DRAWBRIDGE_PROXY", hide_env_values = true, value_name = "URL")]
    proxy: Option<Address>,
}

/// A proxy's address, which may hold a password.
#[derive(Clone)]
struct Address(String);

impl FromStr for Address {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.into()))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

impl RouteOptions {
    /// Checks them.
    pub(super) fn check(&self, faults: &mut Faults) -> Option<Routes> {
        let proxies = match &self.proxy {
            None => Proxies::from_environment(),
            Some(Address(none)) if none == "none" => Proxies::none(),
            // The address is not repeated: it may hold a password.
            Some(Address(url)) => faults.note(Proxies::fixed(url).map_err(|fault| format!("--proxy: {fault}")))?,
        };
        Some(Routes { choice: self.transport, proxies: Arc::new(proxies) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser, Debug)]
    struct Cli {
        #[command(flatten)]
        routes: RouteOptions,
    }

    fn check(options: &[&str]) -> Result<Routes, String> {
        let cli = Cli::try_parse_from(["agent"].iter().chain(options)).map_err(|fault| fault.to_string())?;
        let mut faults = Faults::default();
        cli.routes.check(&mut faults).ok_or_else(|| faults.to_string())
    }

    #[test]
    fn transports_have_names() {
        assert_eq!(check(&[]).unwrap().choice, Choice::Auto);
        assert_eq!(check(&["--transport", "websocket"]).unwrap().choice, Choice::WebSocket);
        assert!(check(&["--transport", "tcp"]).is_err());
    }

    #[test]
    fn a_proxy_is_checked_and_its_password_is_not_shown() {
        assert!(check(&["--proxy", "none"]).unwrap().proxies.way("a:1").unwrap().is_none());
        assert!(check(&["--proxy", "http://u:secret@p:3128"]).unwrap().proxies.way("a:1").unwrap().is_some());
        let fault = check(&["--proxy", "socks5://u:secret@p"]).unwrap_err();
        assert!(fault.contains("--proxy: a proxy of kind 'socks5'") && !fault.contains("secret"), "{fault}");
        let shown = format!("{:?}", Cli::parse_from(["agent", "--proxy", "http://u:secret@p"]));
        assert!(!shown.contains("secret"), "{shown}");
    }
}

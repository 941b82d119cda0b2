//! russh's settings for the inner SSH: what both servers share, and the agent's own bounds.

use super::{Alive, limits};
use drawbridge_shared::native::ssh;
use russh::{Limits, keys::PrivateKey, server::Config};

/// The settings of a server that owns `host_key` and asks for signs of life as `alive` says.
pub(super) fn config(host_key: PrivateKey, alive: Alive) -> Config {
    Config {
        max_auth_attempts: limits::AUTH_ATTEMPTS,
        window_size: limits::INFLOW.first_window,
        maximum_packet_size: limits::PACKET,
        channel_buffer_size: limits::CHANNEL_MESSAGES,
        event_buffer_size: limits::OUTBOUND_MESSAGES,
        keepalive_interval: alive.interval,
        keepalive_max: alive.unanswered,
        limits: Limits::new(limits::REKEY_BYTES, limits::REKEY_BYTES, limits::REKEY_TIME),
        ..ssh::config(host_key)
    }
}

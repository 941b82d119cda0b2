//! russh's settings for the inner SSH: what both servers share, and the agent's own bounds.

use super::limits;
use drawbridge_shared::native::ssh;
use russh::{keys::PrivateKey, server::Config};

/// The settings of a server that owns `host_key`.
pub(super) fn config(host_key: PrivateKey) -> Config {
    Config {
        max_auth_attempts: limits::AUTH_ATTEMPTS,
        window_size: limits::INFLOW.first_window,
        maximum_packet_size: limits::PACKET,
        channel_buffer_size: limits::CHANNEL_MESSAGES,
        event_buffer_size: limits::OUTBOUND_MESSAGES,
        keepalive_interval: Some(limits::KEEPALIVE),
        keepalive_max: limits::KEEPALIVE_UNANSWERED,
        ..ssh::config(host_key)
    }
}

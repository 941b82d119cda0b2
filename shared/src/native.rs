//! What only native targets have: QUIC, WebSocket and TLS, control frames over any stream, the state folder and what is kept in it, a balancer's header, the clock.

pub mod backlog;
pub mod clock;
pub mod control;
pub mod doors;
pub mod edge_client;
pub mod host_certificate;
pub mod identity;
pub mod log;
pub mod options;
pub mod proxy_header;
pub mod pulse;
pub mod quic;
pub mod refresh;
pub mod resume;
pub mod runtime;
pub mod severable;
pub mod signals;
pub mod slot;
pub mod ssh;
pub mod state_dir;
pub mod stay;
pub mod talk;
pub mod tls;
pub mod trust;
pub mod tunnel;
pub mod websocket;

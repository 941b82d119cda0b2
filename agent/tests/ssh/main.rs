//! The agent's SSH server against the real `ssh`: one connection, no tunnel, no daemon.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on should stop")]

mod accounts;
mod bulk;
mod certificate;
mod channels;
mod copies;
mod ending;
mod forwarding;
mod harness;
mod hung;
mod init;
mod many;
mod notices;
mod programs;
mod refusals;
mod refused;
mod revocation;
mod sftp;
mod startup;
mod terminals;
mod upstream;

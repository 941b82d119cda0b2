//! The edge without its feed: every call is passed on, but whoever wants to follow is hung up on.

use anyhow::{Context, Result};
use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
};

/// Where it is, for as long as this process lives.
pub(crate) struct DeafEdge(SocketAddr);

impl DeafEdge {
    /// In front of the edge at `url`.
    pub(crate) fn start(url: &str) -> Result<Self> {
        let edge: SocketAddr = url.trim_start_matches("http://").parse().context("the edge has no address")?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let here = listener.local_addr()?;
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A call that fails is tried again by whoever made it.
                thread::spawn(move || drop(pass(client, edge)));
            }
        });
        Ok(Self(here))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0)
    }
}

fn pass(mut client: TcpStream, edge: SocketAddr) -> io::Result<()> {
    let mut head = [0; 4096];
    let length = client.read(&mut head)?;
    let head = &head[..length];
    if head.starts_with(b"GET /v1/feed") {
        return Ok(());
    }
    let mut server = TcpStream::connect(edge)?;
    server.write_all(head)?;
    let (mut from_server, mut to_client) = (server.try_clone()?, client.try_clone()?);
    let back = thread::spawn(move || {
        let _ = io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let _ = io::copy(&mut client, &mut server);
    let _ = server.shutdown(Shutdown::Write);
    let _ = back.join();
    Ok(())
}

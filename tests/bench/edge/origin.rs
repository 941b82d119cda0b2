//! A loopback server that has a manifest and its shards, and does nothing else: what fetching costs a daemon alone.

use crate::million::Million;
use anyhow::Result;
use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
};

/// Answers by path.
type Answers = Arc<HashMap<String, Vec<u8>>>;

/// Serves `million` until the process ends; returns its address.
pub(crate) fn serve(million: &Million) -> Result<String> {
    let blobs = million.blobs.iter().map(|(hash, bytes)| (format!("/v1/snapshot/blob/{hash}"), bytes.clone()));
    let manifest = ("/v1/snapshot".to_owned(), million.manifest.clone().into_bytes());
    let answers: Answers = Arc::new(blobs.chain([manifest]).collect());
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = format!("http://{}", listener.local_addr()?);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answers = answers.clone();
            thread::spawn(move || converse(&answers, &stream));
        }
    });
    Ok(address)
}

/// Until the client has enough.
fn converse(answers: &Answers, mut stream: &TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    while let Some(request) = lines.next().transpose()? {
        while lines.next().transpose()?.is_some_and(|header| !header.is_empty()) {}
        let answer = answers.get(request.split(' ').nth(1).unwrap_or_default());
        let (status, body) = answer.map_or(("404 Not Found", &[][..]), |body| ("200 OK", body));
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len())?;
        stream.write_all(body)?;
    }
    Ok(())
}

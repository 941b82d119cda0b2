//! Ports and sockets at the server that lead back to the client.

use super::{
    Plain,
    connection::master,
    forward::{ask, call, call_socket, free_port, shouter},
};
use crate::{run::until, scene::Scene, side::TARGET};
use anyhow::{Context, Result};
use std::{fs, net::TcpStream, os::unix::fs::PermissionsExt};

pub(super) const CASES: &[Plain] = &[
    ("forward::remote_port_of_the_servers_choice", remote),
    ("forward::remote_port_twice", remote_twice),
    ("forward::remote_port_cancelled", remote_cancelled),
    ("forward::remote_ports_bind_loopback_only", remote_any),
    ("forward::remote_socket", remote_socket),
    ("forward::remote_socket_in_the_way", remote_socket_in_the_way),
    ("forward::remote_ports_end_with_the_connection", remote_ends),
];

/// A port at the server that leads back here.
fn lead_back(scene: &Scene<'_>, name: &str, bind: &str, to: u16) -> Result<u16> {
    ask(scene, name, &["forward", "-R", &format!("{bind}:127.0.0.1:{to}")])?.parse().context("no port was given")
}

fn remote(scene: &Scene<'_>) -> Result<()> {
    let _master = master(scene)?;
    let shouter = shouter()?;
    scene.hide(shouter, "<shouter>");
    for (name, bind) in [("default", "0"), ("localhost", "localhost:0"), ("127.0.0.1", "127.0.0.1:0")] {
        let port = lead_back(scene, name, bind, shouter)?;
        scene.bytes(&format!("{name}: heard"), &call(port, b"said")?);
    }
    Ok(())
}

fn remote_twice(scene: &Scene<'_>) -> Result<()> {
    let _master = master(scene)?;
    let (shouter, port) = (shouter()?, free_port()?);
    scene.hide(shouter, "<shouter>");
    scene.hide(port, "<port>");
    let request = format!("{port}:127.0.0.1:{shouter}");
    ask(scene, "first", &["forward", "-R", &request])?;
    scene.bytes("heard", &call(port, b"said")?);
    let mut other = scene.side.client("ssh");
    other.args(["-n", "-o", "ExitOnForwardFailure=yes", "-R", &request, TARGET, "echo in"]);
    scene.observe("another connection", &mut other)
}

fn remote_cancelled(scene: &Scene<'_>) -> Result<()> {
    let _master = master(scene)?;
    let (shouter, port) = (shouter()?, free_port()?);
    scene.hide(shouter, "<shouter>");
    scene.hide(port, "<port>");
    let request = format!("{port}:127.0.0.1:{shouter}");
    ask(scene, "forward", &["forward", "-R", &request])?;
    scene.bytes("heard", &call(port, b"said")?);
    ask(scene, "cancel", &["cancel", "-R", &request])?;
    until("nobody listens any more", || TcpStream::connect(("127.0.0.1", port)).is_err())?;
    ask(scene, "again", &["forward", "-R", &request])?;
    scene.bytes("heard again", &call(port, b"said")?);
    Ok(())
}

/// `GatewayPorts no`: whatever address is asked for.
fn remote_any(scene: &Scene<'_>) -> Result<()> {
    let _master = master(scene)?;
    let shouter = shouter()?;
    scene.hide(shouter, "<shouter>");
    for (name, bind) in [("all", "*:0"), ("any IPv4", "0.0.0.0:0"), ("a foreign address", "192.0.2.1:0")] {
        let port = lead_back(scene, name, bind, shouter)?;
        let sockets = fs::read_to_string("/proc/net/tcp")?;
        let listening = sockets.lines().filter(|line| line.contains(&format!(":{port:04X} ")) && line.contains(" 0A "));
        let addresses: Vec<_> = listening.filter_map(|line| line.split_whitespace().nth(1)?.split(':').next()).collect();
        scene.note(&format!("{name}: bound to"), addresses.join(", "));
    }
    Ok(())
}

fn remote_socket(scene: &Scene<'_>) -> Result<()> {
    let first = master(scene)?;
    let (shouter, path) = (shouter()?, scene.path("far"));
    scene.hide(shouter, "<shouter>");
    ask(scene, "forward", &["forward", "-R", &format!("{}:127.0.0.1:{shouter}", path.display())])?;
    scene.bytes("heard", &call_socket(&path, b"said")?);
    scene.note("mode", format!("{:o}", path.metadata()?.permissions().mode()));
    let mut first = first;
    first.close_input();
    first.end()?;
    Ok(())
}

fn remote_socket_in_the_way(scene: &Scene<'_>) -> Result<()> {
    let path = scene.file("far", "a file")?;
    let mut ssh = scene.side.client("ssh");
    ssh.args(["-n", "-o", "ExitOnForwardFailure=yes", "-R", &format!("{}:127.0.0.1:1", path.display()), TARGET, "echo in"]);
    scene.observe("", &mut ssh)?;
    scene.bytes("the file", &fs::read(path)?);
    Ok(())
}

fn remote_ends(scene: &Scene<'_>) -> Result<()> {
    let mut first = master(scene)?;
    let port = lead_back(scene, "forward", "0", shouter()?)?;
    scene.bytes("heard", &call(port, b"said")?);
    first.close_input();
    first.end()?;
    until("nobody listens any more", || TcpStream::connect(("127.0.0.1", port)).is_err())?;
    scene.note("after", "nobody listens");
    Ok(())
}

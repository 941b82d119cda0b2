//! Stock clients get the fast cipher on both hops, and no client is turned away for the one it asks for.

use crate::{Run::Shared, Test};
use anyhow::{Result, ensure};
use e2e::{Session, Stack, client::outcome};

pub(crate) const TESTS: &[Test] = &[
    ("ciphers::a_stock_client_gets_aes_gcm_on_both_hops", Shared(stock)),
    ("ciphers::a_client_that_wants_another_cipher_gets_it_at_once", Shared(others)),
];

/// What each hop agreed on, from the server to the client.
fn agreed(world: &Stack, options: &[&str]) -> Result<Vec<String>> {
    let mut ssh = world.user("alice")?.quiet_ssh();
    let got = outcome(ssh.arg("-v").args(options).args(["-n", "user@ws-796636", "echo in"]))?;
    ensure!(got.text() == "in\n", "{got:?}");
    let cipher = |line: &str| Some(line.split_once("server->client cipher: ")?.1.split(' ').next()?.to_owned());
    Ok(got.err.lines().filter_map(cipher).collect())
}

fn stock(world: &Stack) -> Result<()> {
    let agreed = agreed(world, &[])?;
    ensure!(agreed == ["aes128-gcm@openssh.com"; 2], "{agreed:?}");
    Ok(())
}

/// `-c` is for the inner hop alone.
fn others(world: &Stack) -> Result<()> {
    for cipher in ["chacha20-poly1305@openssh.com", "aes256-ctr", "aes256-gcm@openssh.com"] {
        let agreed = agreed(world, &["-c", cipher])?;
        ensure!(agreed == ["aes128-gcm@openssh.com", cipher], "{agreed:?}");
    }
    Ok(())
}

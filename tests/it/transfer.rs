//! Bytes arrive as they were sent, in both directions, at once.

use crate::{Run::Shared, Test};
use anyhow::{Result, ensure};
use drawbridge_shared::hex;
use e2e::{Session, Stack, client};
use sha2::{Digest, Sha256};
use std::{fs, io::Read, process::Command};

pub(crate) const TESTS: &[Test] = &[
    ("transfer::sixty_four_mebibytes_up", Shared(up)),
    ("transfer::sixty_four_mebibytes_down", Shared(down)),
    ("transfer::sixty_four_mebibytes_both_ways_at_once", Shared(both)),
    ("transfer::every_length_around_a_packet", Shared(lengths)),
    ("transfer::a_file_over_sftp_and_back", Shared(sftp)),
];

const LARGE: u64 = 64 << 20;

fn random(length: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open("/dev/urandom")?.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(&Sha256::digest(bytes))
}

fn up(world: &Stack) -> Result<()> {
    let (bytes, folder) = (random(LARGE)?, tempfile::tempdir()?);
    let file = folder.path().join("large");
    fs::write(&file, &bytes)?;
    world.user("alice")?.feed("user@ws-796636", "sha256sum", &file)?.printed(&format!("{}  -\n", digest(&bytes)))
}

fn down(world: &Stack) -> Result<()> {
    let (bytes, folder) = (random(LARGE)?, tempfile::tempdir()?);
    let file = folder.path().join("large");
    fs::write(&file, &bytes)?;
    let got = world.user("alice")?.run("user@ws-796636", &format!("cat {}", file.display()))?;
    ensure!(got.status == Some(0) && digest(&got.out) == digest(&bytes), "{} bytes came, {}", got.out.len(), got.err);
    Ok(())
}

fn both(world: &Stack) -> Result<()> {
    let bytes = random(LARGE)?;
    let expected = digest(&bytes);
    let got = world.user("alice")?.converse("user@ws-796636", "cat", bytes)?;
    ensure!(got.status == Some(0) && digest(&got.out) == expected, "{} bytes came, {}", got.out.len(), got.err);
    Ok(())
}

fn lengths(world: &Stack) -> Result<()> {
    let alice = world.user("alice")?;
    for length in [0, 1, 32_767, 32_768, 32_769, 65_535, 65_536, 65_537] {
        let bytes = random(length)?;
        let got = alice.converse("user@ws-796636", "cat", bytes.clone())?;
        ensure!(got.out == bytes, "{length} bytes sent, {} came", got.out.len());
    }
    Ok(())
}

fn sftp(world: &Stack) -> Result<()> {
    let (bytes, folder) = (random(LARGE)?, tempfile::tempdir()?);
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::write(at("here"), &bytes)?;
    fs::write(at("script"), format!("put {} {}\nget {1} {}\n", at("here"), at("there"), at("back")))?;
    let ssh = world.user("alice")?.quiet_ssh();
    let got = client::outcome(Command::new("sftp").args(ssh.get_args()).args(["-q", "-b", &at("script"), "user@ws-796636"]))?;
    ensure!(got.status == Some(0), "{got:?}");
    ensure!(fs::read(at("there"))? == bytes && fs::read(at("back"))? == bytes, "the file changed on its way");
    Ok(())
}

//! What the edge signs is checked by stock tools, and by us.

use crate::{Run::Shared, Test};
use anyhow::{Context, Result, ensure};
use drawbridge_shared::{
    id::SnapshotSeq,
    native::clock,
    snapshot::{BlobHash, Manifest},
};
use e2e::Stack;
use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

pub(crate) const TESTS: &[Test] = &[
    ("snapshot::ssh_keygen_verifies_the_manifest", Shared(by_hand)),
    ("snapshot::the_manifest_names_its_shards_by_hash", Shared(shards)),
];

const ARMOR: &str = "-----BEGIN SSH SIGNATURE-----";

fn manifest(world: &Stack) -> Result<String> {
    let answer = world.edge.operator().get("/v1/snapshot")?;
    answer.ok()?;
    Ok(answer.body)
}

fn by_hand(world: &Stack) -> Result<()> {
    let (text, folder) = (manifest(world)?, tempfile::tempdir()?);
    let (payload, armor) = text.split_at(text.find(ARMOR).context("no signature")?);
    let (signers, signature) = (folder.path().join("allowed_signers"), folder.path().join("m.sig"));
    fs::write(&signers, format!("edge {}\n", world.edge.trust_key))?;
    fs::write(&signature, armor)?;
    let verify = |payload: &str| -> Result<bool> {
        let file = folder.path().join("m");
        fs::write(&file, payload)?;
        let mut verify = Command::new("ssh-keygen");
        verify
            .args(["-Y", "verify", "-I", "edge", "-n", "key-snapshot@drawbridge", "-f"])
            .arg(&signers)
            .arg("-s")
            .arg(&signature);
        Ok(verify.stdin(fs::File::open(file)?).stdout(Stdio::null()).stderr(Stdio::null()).status()?.success())
    };
    ensure!(verify(payload)?, "ssh-keygen refuses the manifest");
    ensure!(!verify(&payload.replacen("\"seq\":", "\"seq\":1", 1))?, "ssh-keygen accepts a changed manifest");
    Ok(())
}

fn shards(world: &Stack) -> Result<()> {
    let text = manifest(world)?;
    let trust = world.edge.trust_key.parse()?;
    let manifest = Manifest::verify(&text, &trust, clock::now(), SnapshotSeq(0), Duration::ZERO)?;
    ensure!(!manifest.shards.is_empty(), "two users, two workspaces and a daemon are in no shard");
    for shard in manifest.shards.iter().filter(|shard| shard.family != drawbridge_shared::snapshot::Family::Keys) {
        let answer = world.edge.operator().get(&format!("/v1/snapshot/blob/{}", shard.sha256))?;
        ensure!(BlobHash::of(answer.body.as_bytes()) == shard.sha256, "{shard:?}");
    }
    Ok(())
}

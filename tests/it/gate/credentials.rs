//! What may be offered in place of the right key's signature, and how often.

use super::uniform::{asking, key, probe};
use crate::{Run::Shared, Test};
use anyhow::{Result, ensure};
use e2e::{
    SOON, Stack, User,
    client::{Outcome, outcome},
    raw::{Heard, Message, Raw, number},
    within,
};
use std::{fs, path::PathBuf, process::Command};
use xtask::stack::JUMP;

pub(crate) const TESTS: &[Test] = &[
    ("credentials::sixty_four_unknown_keys_may_come_before_the_right_one", Shared(many_keys)),
    ("credentials::offers_without_end_are_ended", Shared(endless)),
    ("credentials::six_wrong_signatures_are_verified_and_no_more", Shared(signatures)),
    ("credentials::five_wrong_ones_are_forgiven", Shared(forgiven)),
    ("credentials::a_certificate_is_no_key", Shared(certificate)),
];

/// Unknown keys that a client may offer before the right one.
const OFFERS: u8 = 64;
/// Signatures that a connection may get wrong.
const SIGNATURES: usize = 6;
/// What a client reads whose signatures were wrong too often.
const TOO_MANY: &str = "too many failed signatures on one connection";

/// The n-th of some keys that nobody knows.
fn unknown(n: u8) -> Vec<u8> {
    Message::bare().string("ssh-ed25519").string([n; 32]).bytes()
}

fn many_keys(world: &Stack) -> Result<()> {
    let (mut raw, key) = (asking(world)?, key(world.user("alice")?)?);
    raw.send(Message::new(number::USERAUTH_REQUEST).string("alice").string("ssh-connection").string("none"))?;
    raw.expect(number::USERAUTH_FAILURE)?;
    for n in 0..OFFERS {
        raw.send(probe("alice", &unknown(n)))?;
        raw.expect(number::USERAUTH_FAILURE)?;
    }
    raw.send(probe("alice", &key.public_key().to_bytes()?))?;
    raw.expect(number::USERAUTH_PK_OK)?;
    let right = raw.signed("alice", &key, &key, &raw.session)?;
    raw.send(right)?;
    raw.expect(number::USERAUTH_SUCCESS).map(drop)
}

fn endless(world: &Stack) -> Result<()> {
    let mut raw = asking(world)?;
    for n in 0..2 * OFFERS {
        raw.send(probe("alice", &unknown(n)))?;
        if let Heard::End(words) = raw.hear()? {
            ensure!(n >= OFFERS && words.as_deref() == Some("Too many authentication attempts"), "{n}: {words:?}");
            return Ok(());
        }
    }
    anyhow::bail!("it goes on")
}

/// Sends signatures for `shown` that `signer` made, each after a probe or not, until the daemon ends it: how many were
/// refused, and its words.
fn wrong(raw: &mut Raw, (shown, signer): (&User, &User), probing: bool) -> Result<(usize, Option<String>)> {
    let (shown, signer) = (key(shown)?, key(signer)?);
    let mut refused = 0;
    while refused < 3 * SIGNATURES {
        if probing {
            raw.send(probe("alice", &shown.public_key().to_bytes()?))?;
            if raw.hear()? != Heard::Packet(pk_ok(&shown.public_key().to_bytes()?)) {
                break;
            }
        }
        let forged = raw.signed("alice", &shown, &signer, &raw.session)?;
        raw.send(forged)?;
        match raw.hear()? {
            Heard::Packet(packet) if packet.first() == Some(&number::USERAUTH_FAILURE) => refused += 1,
            Heard::End(words) => return Ok((refused, words)),
            other => anyhow::bail!("{other:?}"),
        }
    }
    Ok((refused, raw.expect_end()?))
}

fn pk_ok(blob: &[u8]) -> Vec<u8> {
    Message::new(number::USERAUTH_PK_OK).string("ssh-ed25519").string(blob).bytes()
}

fn signatures(world: &Stack) -> Result<()> {
    let keys = (world.user("alice")?, world.user("bob")?);
    let told = || world.daemon.sample("drawbridge_pre_auth_dropped_total{reason=\"signatures\"}");
    let before = told()?;
    for probing in [false, true] {
        let (refused, words) = wrong(&mut asking(world)?, keys, probing)?;
        // The one that is too much is refused unverified, and may be answered before the end comes.
        ensure!((SIGNATURES..=SIGNATURES + 1).contains(&refused), "{refused} signatures, probing: {probing}");
        ensure!(words.as_ref().is_some_and(|words| words.starts_with(TOO_MANY)), "{words:?}");
    }
    within(SOON, "it is told", || Ok(told()? >= before + 2.0))?;
    ensure!(fs::read_to_string(&world.daemon.audit)?.contains("\"reason\":\"signatures\""));
    Ok(())
}

fn forgiven(world: &Stack) -> Result<()> {
    let (mut raw, alice, bob) = (asking(world)?, key(world.user("alice")?)?, key(world.user("bob")?)?);
    for _ in 1..SIGNATURES {
        let forged = raw.signed("alice", &alice, &bob, &raw.session)?;
        raw.send(forged)?;
        raw.expect(number::USERAUTH_FAILURE)?;
    }
    let right = raw.signed("alice", &alice, &alice, &raw.session)?;
    raw.send(right)?;
    raw.expect(number::USERAUTH_SUCCESS).map(drop)
}

/// Options of `ssh` that offer a certificate over `user`'s own key, by a CA of `user`'s own.
fn certified(user: &User, folder: &std::path::Path) -> Result<[String; 2]> {
    let authority = xtask::stack::keygen(&folder.join("authority"), "authority")?;
    let public: PathBuf = folder.join("key.pub");
    fs::copy(user.key_file.with_extension("pub"), &public)?;
    let mut sign = Command::new("ssh-keygen");
    sign.args(["-q", "-I", "certified", "-n", "alice,user", "-s"]).arg(authority).arg(&public);
    ensure!(sign.status()?.success(), "ssh-keygen signs nothing");
    Ok(["-o".into(), format!("CertificateFile={}", folder.join("key-cert.pub").display())])
}

/// Though its key is known: `ssh` goes on with the key itself, unless it is told not to.
fn certificate(world: &Stack) -> Result<()> {
    let (alice, folder) = (world.user("alice")?, tempfile::tempdir()?);
    let certificate = certified(alice, folder.path())?;
    let alone = "-oPubkeyAcceptedAlgorithms=ssh-ed25519-cert-v01@openssh.com";
    let call = |options: &[&str], target: &str| -> Result<Outcome> {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(&alice.ssh_config).args(["-n", "-v", "-oBatchMode=yes"]).args(&certificate).args(options);
        outcome(ssh.args([target, "true"]))
    };
    let way = format!("-oProxyCommand=ssh -F '{}' -W %h:%p {JUMP}", alice.ssh_config.display());
    for (options, target) in [(&[][..], JUMP), (&[way.as_str()], "user@796636")] {
        let refused = call(&[&[alone], options].concat(), target)?;
        ensure!(refused.err.contains("Offering public key") && refused.err.contains("ED25519-CERT"), "{refused:?}");
        ensure!(!refused.err.contains("Server accepts key"), "somebody would have to sign for nothing: {refused:?}");
        refused.refused("Permission denied (publickey)")?;
        let fallen_back = call(options, target)?;
        ensure!(fallen_back.err.contains("ED25519-CERT") && fallen_back.err.contains("Authenticated to"), "{fallen_back:?}");
    }
    Ok(())
}

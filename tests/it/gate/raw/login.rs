//! At the login: keys and signatures that do not belong together, what comes before it, and names that are none.

use super::{Case, Door, scene::CROOKED_NAME};
use anyhow::{Result, ensure};
use e2e::raw::{Heard, Message, Raw, message, number};
use ssh_key::certificate::{Builder, CertType};

pub(super) const CASES: &[Case] = &[
    ("one key offered, another signs", two_keys),
    ("a signature for another connection", other_session),
    ("a signature for another user", other_user),
    ("no signature, and ones that are none", crooked_signatures),
    ("a certificate that is none", certificate),
    ("a certificate that its CA did not sign", unsigned_certificate),
    ("a login that the client declares a success", own_success),
    ("channels, requests and data before the login", before_login),
    ("the same before the service is asked for", before_service),
    ("another service", other_service),
    ("a login for another service", other_login_service),
    ("methods that are not offered", other_methods),
    ("more tries than are allowed", too_many),
    ("a second login", second_login),
    ("a name of 64 kB", |door| name(door, &"n".repeat(64 << 10))),
    ("a name that is a line of a log", |door| name(door, CROOKED_NAME)),
    ("a name that is no text", no_text),
    ("many names", names),
];

/// What the server says is the only thing that it says of all that was sent.
fn refused(raw: &mut Raw) -> Result<()> {
    let refused = raw.expect(number::USERAUTH_FAILURE)?;
    ensure!(refused == Message::new(number::USERAUTH_FAILURE).string("publickey").flag(false).bytes(), "{refused:?}");
    Ok(())
}

/// A method that is always refused tells that nothing that was sent before it was answered.
fn still_outside(raw: &mut Raw) -> Result<()> {
    raw.send(Message::new(number::USERAUTH_REQUEST).string("user").string("ssh-connection").string("none"))?;
    refused(raw)
}

fn enters(raw: &mut Raw, door: &Door) -> Result<()> {
    let request = raw.signed("user", &door.member, &door.member, &raw.session)?;
    raw.send(request)?;
    raw.expect(number::USERAUTH_SUCCESS)?;
    raw.expect_answers()
}

fn two_keys(door: &Door) -> Result<()> {
    let mut raw = door.asked()?;
    let offer = |key: &ssh_key::PrivateKey| Ok::<_, anyhow::Error>(offer("user", "ssh-ed25519", &key.public_key().to_bytes()?));
    raw.send(offer(&door.member)?)?;
    raw.expect(number::USERAUTH_PK_OK)?;
    for (shown, signer) in [(&door.stranger, &door.stranger), (&door.member, &door.stranger), (&door.stranger, &door.member)] {
        let request = raw.signed("user", shown, signer, &raw.session)?;
        raw.send(request)?;
        refused(&mut raw)?;
    }
    raw.send(offer(&door.stranger)?)?;
    refused(&mut raw)?;
    enters(&mut raw, door)
}

fn offer(user: &str, algorithm: &str, blob: &[u8]) -> Message {
    let request = Message::new(number::USERAUTH_REQUEST).string(user).string("ssh-connection").string("publickey");
    request.flag(false).string(algorithm).string(blob)
}

fn other_session(door: &Door) -> Result<()> {
    let elsewhere = door.asked()?.session;
    let mut raw = door.asked()?;
    for session in [&elsewhere[..], &[], &[0; 32]] {
        let request = raw.signed("user", &door.member, &door.member, session)?;
        raw.send(request)?;
        refused(&mut raw)?;
    }
    enters(&mut raw, door)
}

fn other_user(door: &Door) -> Result<()> {
    let mut raw = door.asked()?;
    let request = raw.signed("user", &door.member, &door.member, &raw.session)?.bytes();
    let user = Message::bare().string("user").bytes();
    let root = Message::bare().string("root").bytes();
    let altered = [&request[..1], &root, &request[1 + user.len()..]].concat();
    raw.send(Message::bare().raw(&altered))?;
    refused(&mut raw)?;
    enters(&mut raw, door)
}

fn crooked_signatures(door: &Door) -> Result<()> {
    let blob = door.member.public_key().to_bytes()?;
    let inside = |algorithm: &str, bytes: &[u8]| Message::bare().string(algorithm).string(bytes).bytes();
    let signatures = [
        Vec::new(),
        vec![0; 3],
        inside("ssh-ed25519", &[]),
        inside("ssh-ed25519", &[0; 64]),
        inside("ssh-ed25519", &[0xff; 65]),
        inside("ssh-rsa", &[1; 64]),
        inside("", &[0; 64]),
        vec![0xff; 100_000],
    ];
    for signature in signatures {
        let mut raw = door.asked()?;
        let request = Message::new(number::USERAUTH_REQUEST).string("user").string("ssh-connection").string("publickey");
        raw.send(request.flag(true).string("ssh-ed25519").string(&blob).string(&signature))?;
        refused_or_ended(&mut raw)?;
    }
    Ok(())
}

fn certificate(door: &Door) -> Result<()> {
    let blob = door.member.public_key().to_bytes()?;
    for algorithm in ["ssh-ed25519-cert-v01@openssh.com", "ssh-rsa", "ssh-dss", "x509v3-sign-rsa", "none", ""] {
        let mut raw = door.asked()?;
        raw.send(offer("user", algorithm, &blob))?;
        refused_or_ended(&mut raw)?;
    }
    let mut raw = door.asked()?;
    raw.send(offer("user", "ssh-ed25519", &[0xff; 100_000]))?;
    refused_or_ended(&mut raw)
}

/// A certificate is refused before anybody signs for it, whoever signed it (a CA's key may be one whose signatures are dear to verify),
/// and so is one that is signed for without being asked about.
fn unsigned_certificate(door: &Door) -> Result<()> {
    const KIND: &str = "ssh-ed25519-cert-v01@openssh.com";
    let mut builder = Builder::new([7; 16], door.member.public_key().key_data().clone(), 0, u64::MAX - 1)?;
    builder.cert_type(CertType::User)?.valid_principal("user")?;
    let sound = builder.sign(&door.stranger)?.to_bytes()?;
    let mut unsigned = sound.clone();
    if let Some(last) = unsigned.last_mut() {
        *last ^= 1;
    }
    for blob in [&unsigned, &sound] {
        let mut raw = door.asked()?;
        raw.send(offer("user", KIND, blob))?;
        refused(&mut raw)?;
        let request = raw.signed_as("user", KIND, blob, &door.member)?;
        raw.send(request)?;
        refused(&mut raw)?;
        enters(&mut raw, door)?;
    }
    Ok(())
}

/// Which of the two does not matter: nobody is in.
fn refused_or_ended(raw: &mut Raw) -> Result<()> {
    match raw.hear()? {
        Heard::Packet(packet) if packet.first() == Some(&number::USERAUTH_FAILURE) => still_outside(raw),
        Heard::End(_) => Ok(()),
        other => anyhow::bail!("{other:?}"),
    }
}

fn own_success(door: &Door) -> Result<()> {
    let mut raw = door.asked()?;
    raw.send_all([Message::new(number::USERAUTH_SUCCESS), message::open("session", 1), message::direct(2, &door.workspace, 22)])?;
    raw.expect(number::UNIMPLEMENTED)?;
    still_outside(&mut raw)?;
    enters(&mut raw, door)
}

/// All that a client may do when it is in.
fn inside(door: &Door) -> Vec<Message> {
    vec![
        message::open("session", 1),
        message::direct(2, &door.workspace, 22),
        Message::new(number::GLOBAL_REQUEST).string("tcpip-forward").flag(true).string("127.0.0.1").u32(0),
        message::request(0, "shell"),
        message::request(2, "exec").string("id"),
        message::data(2, b"id\n"),
        message::about(number::CHANNEL_WINDOW_ADJUST, 2).u32(1 << 20),
        message::about(number::CHANNEL_EOF, 2),
        message::about(number::CHANNEL_CLOSE, 2),
        Message::new(61).u32(1).string("an answer to no question"),
        Message::new(200).string("a message of nobody's"),
        Message::new(number::UNIMPLEMENTED).u32(1),
    ]
}

fn before_login(door: &Door) -> Result<()> {
    let mut raw = door.asked()?;
    raw.send_all(inside(door).into_iter().filter(|message| message.clone().bytes().first() != Some(&61)))?;
    // Of the message that is nobody's; nothing else is answered.
    raw.expect(number::UNIMPLEMENTED)?;
    still_outside(&mut raw)?;
    enters(&mut raw, door)
}

fn before_service(door: &Door) -> Result<()> {
    let mut raw = door.met()?;
    raw.send_all(inside(door))?;
    raw.expect(number::UNIMPLEMENTED)?;
    raw.begin_login()?;
    enters(&mut raw, door)
}

fn other_service(door: &Door) -> Result<()> {
    let mut raw = door.met()?;
    let none = Message::new(number::USERAUTH_REQUEST).string("user").string("ssh-connection").string("none");
    raw.send_all([Message::new(number::SERVICE_REQUEST).string("ssh-connection"), message::open("session", 1), none])?;
    raw.begin_login()?;
    enters(&mut raw, door)
}

fn other_login_service(door: &Door) -> Result<()> {
    let mut raw = door.asked()?;
    raw.send(Message::new(number::USERAUTH_REQUEST).string("user").string("ssh-userauth").string("none"))?;
    raw.expect_end().map(drop)
}

fn other_methods(door: &Door) -> Result<()> {
    let mut raw = door.asked()?;
    let method = |name: &str| Message::new(number::USERAUTH_REQUEST).string("user").string("ssh-connection").string(name);
    let tries = [
        method("none"),
        method("password").flag(false).string(""),
        method("password").flag(true).string("old").string("new"),
        method("keyboard-interactive").string("").string("pam"),
        Message::new(61).u32(u32::MAX),
        method("hostbased").string("ssh-ed25519").string("").string("localhost").string("root").string(""),
        method("gssapi-with-mic").u32(1).string("\x06"),
        method(&"m".repeat(100_000)),
        method(""),
    ];
    for tried in tries {
        raw.send(tried)?;
        refused(&mut raw)?;
    }
    enters(&mut raw, door)
}

fn too_many(door: &Door) -> Result<()> {
    let mut raw = door.asked()?;
    for _ in 0..65 {
        let request = raw.signed("user", &door.member, &door.stranger, &raw.session)?;
        if raw.send(request).is_err() {
            break;
        }
    }
    let mut tries = 0;
    let words = loop {
        match raw.hear()? {
            Heard::Packet(packet) if packet.first() == Some(&number::USERAUTH_FAILURE) => tries += 1,
            Heard::End(words) => break words,
            other => anyhow::bail!("{other:?}"),
        }
    };
    let bound = if door.is_jump() { 64 } else { 24 };
    ensure!(tries <= bound, "{tries} signatures were tried");
    // The jump host counts signatures apart; whichever count is full first ends it.
    let full = ["Too many authentication attempts", "too many failed signatures"];
    ensure!(words.as_ref().is_none_or(|words| full.iter().any(|full| words.contains(full))), "{words:?}");
    Ok(())
}

/// RFC 4252 section 5.1: whoever is in and asks again is not answered.
fn second_login(door: &Door) -> Result<()> {
    let mut raw = door.entered()?;
    let request = raw.signed("root", &door.stranger, &door.stranger, &raw.session)?;
    raw.send_all([
        request,
        Message::new(number::SERVICE_REQUEST).string("ssh-userauth"),
        Message::new(number::USERAUTH_SUCCESS),
    ])?;
    raw.expect(number::UNIMPLEMENTED)?;
    raw.expect_answers()
}

/// A jump host asks no names; a workspace tells its members which are good.
fn name(door: &Door, name: &str) -> Result<()> {
    let mut raw = door.asked()?;
    let request = raw.signed(name, &door.member, &door.member, &raw.session)?;
    raw.send(request)?;
    raw.expect(number::USERAUTH_SUCCESS)?;
    if door.is_jump() {
        return raw.expect_answers();
    }
    let words = raw.expect_end()?.unwrap_or_default();
    ensure!(words.starts_with("there is no login as '") && words.len() < 200, "{words:?}");
    ensure!(!words.contains(|c: char| c.is_control()), "{words:?}");
    Ok(())
}

fn no_text(door: &Door) -> Result<()> {
    let mut raw = door.asked()?;
    raw.send(Message::new(number::USERAUTH_REQUEST).string(b"\xff\xfe").string("ssh-connection").string("none"))?;
    refused_or_ended(&mut raw)
}

/// RFC 4252 section 5 has a server forget all when the name changes: nothing of one name's tries helps another's.
fn names(door: &Door) -> Result<()> {
    let mut raw = door.asked()?;
    for name in ["root", "user", "", "-oProxyCommand=id", "../../etc"] {
        raw.send(offer(name, "ssh-ed25519", &door.member.public_key().to_bytes()?))?;
        raw.expect(number::USERAUTH_PK_OK)?;
        let request = raw.signed(name, &door.member, &door.stranger, &raw.session)?;
        raw.send(request)?;
        refused(&mut raw)?;
    }
    enters(&mut raw, door)
}

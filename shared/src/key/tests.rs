//! The matrix of lines that a key API meets, with keys made by the real `ssh-keygen` where one is needed.

use super::*;
use base64ct::{Base64, Encoding};
use std::process::Command;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJuUKs/bV1ZouClZX5d1hGLfovnl1NeE5L0q/IzcVZtC";

fn fault(line: &str) -> KeyFault {
    UserKey::parse(line).unwrap_err()
}

/// One field of the SSH wire encoding.
fn field(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

fn line(algorithm: &str, fields: &[&[u8]]) -> String {
    let blob = fields.iter().fold(field(algorithm.as_bytes()), |blob, bytes| [blob, field(bytes)].concat());
    format!("{algorithm} {}", Base64::encode_string(&blob))
}

fn generated(arguments: &[&str]) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let made = Command::new("ssh-keygen").args(["-q", "-N", "", "-C", "made here", "-f"]).arg(&file).args(arguments).status();
    assert!(made.unwrap().success(), "ssh-keygen {arguments:?}");
    let printed = Command::new("ssh-keygen").arg("-lf").arg(&file).output().unwrap().stdout;
    let fingerprint = String::from_utf8(printed).unwrap().split(' ').nth(1).unwrap().to_string();
    (std::fs::read_to_string(file.with_extension("pub")).unwrap(), fingerprint)
}

#[test]
fn what_ssh_keygen_makes_is_taken_with_its_fingerprint() {
    let kinds: [&[&str]; 5] = [
        &["-t", "ed25519"],
        &["-t", "rsa", "-b", "2048"],
        &["-t", "ecdsa", "-b", "256"],
        &["-t", "ecdsa", "-b", "384"],
        &["-t", "ecdsa", "-b", "521"],
    ];
    for kind in kinds {
        let (line, fingerprint) = generated(kind);
        let key = UserKey::parse(&line).unwrap();
        assert_eq!(key.fingerprint().to_string(), fingerprint, "{kind:?}");
        assert_eq!(key.title(), "made here");
        assert!(line.starts_with(key.line()));
    }
}

#[test]
fn spelling_is_forgiven_and_made_canonical() {
    for text in [KEY, &format!("  {KEY}\r\n"), &KEY.replace(' ', "\t"), &KEY.replace(' ', "  ")] {
        assert_eq!(UserKey::parse(text).unwrap().line(), KEY, "{text:?}");
    }
    let key = UserKey::parse(&format!("{KEY}  ü name  with spaces ")).unwrap();
    assert_eq!(key.title(), "ü name  with spaces");
    assert_eq!(key.with_title(" laptop ").unwrap().title(), "laptop");
}

#[test]
fn security_keys_are_taken() {
    let good_point = UserKey::parse(KEY).unwrap();
    let key = PublicKey::from_openssh(good_point.line()).unwrap();
    let point = key.key_data().ed25519().unwrap().0;
    assert!(UserKey::parse(&line("sk-ssh-ed25519@openssh.com", &[&point, b"ssh:"])).is_ok());
}

#[test]
fn other_things_get_their_own_words() {
    let cases = [
        ("", KeyFault::Empty),
        ("  \n", KeyFault::Empty),
        ("hello", KeyFault::Unsupported),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==", KeyFault::Private),
        ("PuTTY-User-Key-File-3: ssh-ed25519", KeyFault::Private),
        ("ssh-dss AAAAB3NzaC1kc3M=", KeyFault::Dsa),
        ("ssh-ed25519-cert-v01@openssh.com AAAA", KeyFault::Certificate),
        ("ssh-ed25519", KeyFault::Malformed),
        ("ssh-ed25519 AAAA", KeyFault::Malformed),
    ];
    for (text, expected) in cases {
        assert_eq!(fault(text), expected, "{text}");
    }
    assert_eq!(fault(&format!("{KEY}\n{KEY}")), KeyFault::NotOneLine);
    assert_eq!(fault(&format!("{KEY} \u{1b}[31mred")), KeyFault::NotOneLine);
    assert_eq!(fault(&format!("{KEY} a\0b")), KeyFault::NotOneLine);
    assert_eq!(fault(&format!("no-pty {KEY}")), KeyFault::Options);
    assert_eq!(fault(&KEY[..60]), KeyFault::Malformed);
    assert_eq!(fault(&KEY.replace("ssh-ed25519", "ssh-rsa")), KeyFault::Malformed);
    assert_eq!(fault(&format!("{KEY} {}", "x".repeat(256))), KeyFault::Comment);
    assert_eq!(fault(&format!("{KEY} a\tb")), KeyFault::Comment);
    assert_eq!(fault(&format!("{KEY} {}", "x".repeat(MAX_LINE))), KeyFault::TooLong);
}

#[test]
fn options_end_at_the_first_blank_outside_quotes() {
    for options in
        [r#"command="a b""#, r#"command="say \"a b\" twice",no-pty"#, r#"environment="A=b c",restrict"#, "no-pty,from=\"*\""]
    {
        assert_eq!(fault(&format!("{options} {KEY}")), KeyFault::Options, "{options}");
    }
    for other in ["foo-type AAAA my ssh-rsa key", "\"never closed ssh-rsa AAAA", "a", "a ", "ü\t", "\\\""] {
        assert_eq!(fault(other), KeyFault::Unsupported, "{other}");
    }
}

#[test]
fn a_comment_that_a_title_replaces_does_not_matter() {
    for comment in ["x".repeat(256), "a\tb".into()] {
        let line = format!("{KEY} {comment}");
        assert_eq!(UserKey::titled(&line, Some("ok")).map(|key| key.title().to_owned()), Ok("ok".into()));
        assert_eq!(UserKey::titled(&line, None), Err(KeyFault::Comment));
        assert_eq!(UserKey::titled(&line, Some(&"x".repeat(256))), Err(KeyFault::Title));
    }
    assert_eq!(UserKey::titled(&format!("{KEY} a\nb"), Some("ok")), Err(KeyFault::NotOneLine));
}

#[test]
fn a_private_key_is_known_by_its_armour_wherever_it_stands() {
    for armor in [
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY",
        "-----END EC PRIVATE KEY-----",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----",
        "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----",
    ] {
        assert_eq!(fault(armor), KeyFault::Private, "{armor}");
        assert_eq!(fault(&format!("{KEY} {armor}")), KeyFault::Private, "{armor}");
        for title in [armor.to_owned(), format!("{armor}\nc2VjcmV0")] {
            assert_eq!(UserKey::titled(KEY, Some(&title)), Err(KeyFault::Private), "{title}");
        }
    }
    for harmless in ["my PRIVATE KEY pair", "-----BEGIN PUBLIC KEY----- PRIVATE KEY", "BEGIN"] {
        assert!(UserKey::parse(&format!("{KEY} {harmless}")).is_ok(), "{harmless}");
        assert!(UserKey::titled(KEY, Some(harmless)).is_ok(), "{harmless}");
    }
}

#[test]
fn points_on_ecdsas_curves_are_uncompressed() {
    for (curve, size) in [("nistp256", 32), ("nistp384", 48), ("nistp521", 66)] {
        let ecdsa = |tag: u8, coordinates: usize| {
            let point = [vec![tag], vec![7; coordinates * size]].concat();
            line(&format!("ecdsa-sha2-{curve}"), &[curve.as_bytes(), &point])
        };
        assert!(UserKey::parse(&ecdsa(4, 2)).is_ok());
        assert_eq!(fault(&ecdsa(2, 1)), KeyFault::CompressedPoint);
        assert_eq!(fault(&ecdsa(3, 1)), KeyFault::CompressedPoint);
        assert_eq!(fault(&ecdsa(4, 1)), KeyFault::Malformed);
    }
    let compressed = [vec![2], vec![7; 32]].concat();
    let security_key = line("sk-ecdsa-sha2-nistp256@openssh.com", &[b"nistp256", &compressed, b"ssh:"]);
    assert_eq!(fault(&security_key), KeyFault::CompressedPoint);
}

#[test]
fn weak_keys_are_refused() {
    let modulus = |bytes: usize, first: u8| [vec![0, first], vec![0xc5; bytes - 1]].concat();
    let rsa = |e: &[u8], n: &[u8]| line("ssh-rsa", &[e, n]);
    assert!(UserKey::parse(&rsa(&[1, 0, 1], &modulus(256, 0xc5))).is_ok());
    assert_eq!(fault(&rsa(&[1, 0, 1], &modulus(128, 0xc5))), KeyFault::RsaSize);
    assert_eq!(fault(&rsa(&[1, 0, 1], &[vec![1], vec![0xc5; 255]].concat())), KeyFault::RsaSize);
    assert_eq!(fault(&rsa(&[1, 0, 1], &modulus(1025, 0xc5))), KeyFault::RsaSize);
    assert_eq!(fault(&rsa(&[1], &modulus(256, 0xc5))), KeyFault::RsaExponent);
    assert_eq!(fault(&rsa(&[4], &modulus(256, 0xc5))), KeyFault::RsaExponent);
    assert!(UserKey::parse(&rsa(&[1, 0xff, 0xff, 0xff, 0xff], &modulus(256, 0xc5))).is_ok());
    assert_eq!(fault(&rsa(&[2, 0, 0, 0, 1], &modulus(256, 0xc5))), KeyFault::RsaExponent, "2^33 + 1");
    let even = [modulus(255, 0xc5), vec![0xc4]].concat();
    assert_eq!(fault(&rsa(&[1, 0, 1], &even)), KeyFault::RsaModulus);
    assert_eq!(fault(&rsa(&[1, 0, 1], &[vec![0], modulus(256, 0xc5)].concat())), KeyFault::Malformed);
    assert_eq!(fault(&line("ssh-ed25519", &[&[0; 32]])), KeyFault::WeakPoint);
    let off_curve: [u8; 32] = std::array::from_fn(|i| if i == 0 { 2 } else { 0 });
    assert_eq!(fault(&line("ssh-ed25519", &[&off_curve])), KeyFault::WeakPoint);
    assert_eq!(fault(&line("ssh-ed25519", &[&[7; 32], b"trail"])), KeyFault::Malformed);
}

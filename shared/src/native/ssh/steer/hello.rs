//! What a client says first: its identification line (RFC 4253 section 4.2), and its algorithms (section 7.1).

use bytes::Buf;

/// Longest identification line, its end included.
const MAX_LINE: usize = 255;
/// Longest first packet that is read ahead; OpenSSH 10 sends 1.6 kB.
const MAX_PACKET: usize = 8 * 1024;
/// SSH_MSG_KEXINIT.
const KEXINIT: u8 = 20;
const COOKIE: usize = 16;

/// What follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hello {
    /// More has to come.
    Unfinished,
    /// A client of OpenSSH that can do AES-GCM, in both directions.
    AesGcm,
    /// Any other.
    Other,
}

/// Of the first bytes of a connection.
pub(super) fn of(heard: &[u8]) -> Hello {
    let Some(end) = heard.iter().take(MAX_LINE).position(|byte| *byte == b'\n') else {
        return if heard.len() < MAX_LINE { Hello::Unfinished } else { Hello::Other };
    };
    let (line, packet) = heard.split_at(end + 1);
    if is_openssh(line) { of_packet(packet) } else { Hello::Other }
}

/// A Raspberry Pi has no AES instructions before its fifth generation: ChaCha20 is faster there.
fn is_openssh(line: &[u8]) -> bool {
    line.starts_with(b"SSH-2.0-OpenSSH_") && !line.windows(8).any(|part| part == b"Raspbian")
}

/// In the clear, as every first packet: its length, the padding's, then the message.
fn of_packet(mut packet: &[u8]) -> Hello {
    let Ok(length) = packet.try_get_u32() else { return Hello::Unfinished };
    match length as usize {
        length @ 1..=MAX_PACKET => match packet.get(..length) {
            Some(packet) if has_aes_gcm(packet) == Some(true) => Hello::AesGcm,
            Some(_) => Hello::Other,
            None => Hello::Unfinished,
        },
        _ => Hello::Other,
    }
}

/// None where it is no list of algorithms.
fn has_aes_gcm(mut packet: &[u8]) -> Option<bool> {
    let padding = usize::from(packet.try_get_u8().ok()?);
    let mut message = packet.get(..packet.len().checked_sub(padding)?)?;
    if message.try_get_u8().ok()? != KEXINIT || message.len() < COOKIE {
        return None;
    }
    message.advance(COOKIE);
    let (_kex, _host_keys) = (names(&mut message)?, names(&mut message)?);
    let (to_server, to_client) = (names(&mut message)?, names(&mut message)?);
    let with = |names: &[u8]| names.split(|byte| *byte == b',').any(|name| name.ends_with(b"-gcm@openssh.com"));
    Some(with(to_server) && with(to_client))
}

fn names<'a>(message: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = message.try_get_u32().ok()? as usize;
    let (names, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some(names)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The first words of a client that calls itself `id` and can do `ciphers`.
    pub(in super::super) fn client(id: &str, ciphers: &str) -> Vec<u8> {
        let mut message = vec![KEXINIT];
        message.extend([7; COOKIE]);
        for names in ["curve25519-sha256", "ssh-ed25519", ciphers, ciphers, "hmac-sha2-256", "hmac-sha2-256", "none", "none"] {
            message.extend(u32::try_from(names.len()).unwrap().to_be_bytes());
            message.extend(names.as_bytes());
        }
        message.extend([0; 13]);
        let padding = 8;
        let mut bytes = format!("{id}\r\n").into_bytes();
        bytes.extend(u32::try_from(1 + message.len() + padding).unwrap().to_be_bytes());
        bytes.push(padding as u8);
        bytes.extend(message);
        bytes.extend(vec![0; padding]);
        bytes
    }

    const STOCK: &str = "chacha20-poly1305@openssh.com,aes128-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com";

    #[test]
    fn only_openssh_with_aes_gcm_is_steered() {
        assert_eq!(of(&client("SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u6", STOCK)), Hello::AesGcm);
        assert_eq!(of(&client("SSH-2.0-OpenSSH_for_Windows_9.5", STOCK)), Hello::AesGcm);
        for (id, ciphers) in [
            ("SSH-2.0-OpenSSH_9.2p1 Raspbian-2", STOCK),
            ("SSH-2.0-OpenSSH_9.2p1", "chacha20-poly1305@openssh.com,aes256-ctr"),
            ("SSH-2.0-OpenSSH-keyscan", STOCK),
            ("SSH-2.0-PuTTY_Release_0.81", STOCK),
        ] {
            assert_eq!(of(&client(id, ciphers)), Hello::Other, "{id} {ciphers}");
        }
    }

    #[test]
    fn it_takes_no_more_than_it_needs_and_decides_no_earlier() {
        let words = client("SSH-2.0-OpenSSH_9.2p1", STOCK);
        for end in 0..words.len() {
            assert_eq!(of(&words[..end]), Hello::Unfinished, "{end}");
        }
        assert_eq!(of(b"SSH-2.0-libssh_0.10\r\n"), Hello::Other);
    }

    #[test]
    fn what_is_no_list_of_algorithms_is_russhs_to_refuse() {
        let words = client("SSH-2.0-OpenSSH_9.2p1", STOCK);
        let line = words.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for (at, byte) in [(line, 1), (line + 4, 255), (line + 5, 21), (line + 22, 255)] {
            let mut broken = words.clone();
            broken[at] = byte;
            assert_eq!(of(&broken), Hello::Other, "{at}");
        }
        assert_eq!(of(&[b'x'; MAX_LINE]), Hello::Other);
        assert_eq!(of(b"SSH-2.0-OpenSSH_9\n\0\0\0\0"), Hello::Other);
    }
}

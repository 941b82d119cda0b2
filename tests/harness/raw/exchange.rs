//! curve25519-sha256 (RFC 8731), whole or step by step.

use super::{
    Message, Raw,
    message::{number, slice_at},
    packet::Gcm,
};
use anyhow::{Result, anyhow, ensure};
use ring::{
    agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral},
    digest::{SHA256, digest},
    rand::SystemRandom,
};

/// What a client says in its KEXINIT that tests vary.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// Key exchange methods.
    pub methods: &'static str,
    /// Compression methods.
    pub compression: &'static str,
    /// Whether a packet follows that was guessed.
    pub guess: bool,
}

impl Manners {
    /// With OpenSSH's answer to the prefix truncation of 2023.
    pub const fn strict() -> Self {
        Self { methods: "curve25519-sha256,kex-strict-c-v00@openssh.com,ext-info-c", compression: "none", guess: false }
    }

    /// Without.
    pub const fn plain() -> Self {
        Self { methods: "curve25519-sha256", ..Self::strict() }
    }

    /// The message.
    pub fn kexinit(&self) -> Message {
        let ciphers = "aes128-gcm@openssh.com";
        let lists = [self.methods, "ssh-ed25519", ciphers, ciphers, "hmac-sha2-256", "hmac-sha2-256"];
        let message = Message::new(number::KEXINIT).raw(&[7; 16]);
        let message = lists.iter().chain(&[self.compression; 2]).chain(&[""; 2]).fold(message, Message::string);
        message.flag(self.guess).u32(0)
    }
}

/// Our half of an exchange, made and not sent.
pub struct Half {
    secret: EphemeralPrivateKey,
    public: Vec<u8>,
}

impl Half {
    /// A new one.
    pub fn new() -> Result<Self> {
        let secret = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).map_err(|_| anyhow!("no key"))?;
        let public = secret.compute_public_key().map_err(|_| anyhow!("no key"))?.as_ref().to_vec();
        Ok(Self { secret, public })
    }

    /// The message.
    pub fn message(&self) -> Message {
        Message::new(number::KEX_ECDH_INIT).string(&self.public)
    }
}

impl Raw {
    /// Exchanges keys, whichever there are already.
    pub fn change_keys(&mut self, manners: &Manners) -> Result<()> {
        let ours = manners.kexinit();
        self.send(ours.clone())?;
        let theirs = self.expect(number::KEXINIT)?;
        let half = Half::new()?;
        self.send(half.message())?;
        let reply = self.expect(number::KEX_ECDH_REPLY)?;
        self.expect(number::NEWKEYS)?;
        self.send(Message::new(number::NEWKEYS))?;
        self.take_keys(half, &ours.bytes(), &theirs, &reply)
    }

    /// What an exchange of these messages comes to. Whose host key it is, is not asked here.
    pub fn take_keys(&mut self, half: Half, ours: &[u8], theirs: &[u8], reply: &[u8]) -> Result<()> {
        let host = slice_at(reply, 1)?;
        let point = slice_at(reply, 5 + host.len())?;
        let (public, peer) = (half.public.clone(), UnparsedPublicKey::new(&X25519, point));
        let secret = agree_ephemeral(half.secret, &peer, <[u8]>::to_vec).map_err(|_| anyhow!("no agreement"))?;
        let shared = Message::bare().mpint(&secret).bytes();
        let hashed = Message::bare().string(super::ID).string(&self.server_id).string(ours).string(theirs);
        let hash = sha256(&hashed.string(host).string(public).string(point).raw(&shared).bytes());
        if self.session.is_empty() {
            self.session.clone_from(&hash);
        }
        let derived = |letter: u8| sha256(&[&shared[..], &hash, &[letter], &self.session].concat());
        let (outbound, inbound) = (cipher(&derived(b'C'), &derived(b'A'))?, cipher(&derived(b'D'), &derived(b'B'))?);
        self.packets.encipher(outbound, inbound);
        ensure!(!self.session.is_empty());
        Ok(())
    }
}

fn cipher(key: &[u8], iv: &[u8]) -> Result<Gcm> {
    Gcm::new(&key[..16], &iv[..12])
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

//! Writes the fuzzer's seeds into `fuzz/corpus`: `cargo run -p properties --example seeds`, after a format has changed.

#![allow(clippy::unwrap_used, reason = "a tool for developers may stop")]

use drawbridge_shared::{
    fingerprint::Fingerprint,
    id::{SnapshotSeq, UserId, WorkspaceId},
    snapshot::{
        key_shard::{self, ROW},
        workspace_shard::{self, Workspace},
    },
    time::Timestamp,
    token::{Scope, Token, TokenHash},
    tunnel::{
        frame::{Frame, LENGTH, Reason},
        instance::Instance,
        open::Open,
        resume::{
            frame::{Answer, Resume},
            record::Record,
            ticket::{ID, SECRET, Secret, StrandId, Ticket},
        },
        ticket::Ticket as SocketTicket,
    },
};
use std::{fs, path::Path, time::Duration};

fn main() -> std::io::Result<()> {
    let texts = |texts: Vec<String>| texts.into_iter().map(String::into_bytes).collect();
    write("answer", answers())?;
    write("authorized_keys", texts(documents()))?;
    write("directory", texts(directories()))?;
    write("frames", frames())?;
    write("key_line", texts(key_lines()))?;
    write("key_shard", key_shards())?;
    write("manifest", texts(manifests()))?;
    write("open_header", open_headers())?;
    write("sftp", sftp())?;
    write("strand", strands())?;
    write("target", texts(targets()))?;
    write("token", texts(tokens()))?;
    write("workspace_shard", workspace_shards())
}

fn write(target: &str, seeds: Vec<Vec<u8>>) -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    fs::create_dir_all(&folder)?;
    seeds.iter().enumerate().try_for_each(|(number, seed)| fs::write(folder.join(format!("{number:02}")), seed))
}

/// Each frame alone, without its length; then a whole conversation; then one that lies about its length.
fn frames() -> Vec<Vec<u8>> {
    let frames = [
        Frame::Hello {
            version: 1,
            workspace: "796636".parse().unwrap(),
            instance: Instance([7; 16]),
            accepts: true,
            alone: false,
            agent: "0.1.0".into(),
        },
        Frame::Challenge { nonce: [0x2a; 32] },
        Frame::Proof { signature: "-----BEGIN SSH SIGNATURE-----\nAAAA\n".into() },
        Frame::Welcome { generation: 258, instance: Instance([8; 16]), alone: true },
        Frame::Refuse { reason: Reason::Busy, words: "full".into(), retry_after: Duration::from_secs(1) },
        Frame::Drain,
        Frame::KeysChanged { seq: SnapshotSeq(5) },
        Frame::Goodbye { reason: Reason::Stopping, words: "bye \u{fc}".into() },
        Frame::Ping,
        Frame::Pong,
        Frame::Dial { ticket: SocketTicket([0x2c; 32]) },
    ];
    let wire: Vec<_> = frames.iter().map(Frame::encode).collect();
    let alone = wire.iter().map(|bytes| bytes[LENGTH..].to_vec());
    alone.chain([wire.concat(), b"\xff\xff\xff\xff\x06".to_vec()]).collect()
}

/// INIT, then OPEN, READ, WRITE, READDIR, SETSTAT with attributes, RENAME, SYMLINK and an extension
/// (draft-ietf-secsh-filexfer-02 sections 4 to 6).
fn sftp() -> Vec<Vec<u8>> {
    let text = |text: &str| [&(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat();
    let request = |kind: u8, parts: &[&[u8]]| [&[kind, 0, 0, 0, 7], &parts.concat()[..]].concat();
    let (offset, length, handle) = (8_u64.to_be_bytes(), 32_768_u32.to_be_bytes(), text("\0\0\0\u{1}"));
    let attributes = [&15_u32.to_be_bytes()[..], &8_u64.to_be_bytes(), &[0; 16], &[0, 0, 1, 0xa4]].concat();
    vec![
        vec![1, 0, 0, 0, 3],
        request(3, &[&text("/tmp/file"), &[0, 0, 0, 0x1a], &[0; 4]]),
        request(5, &[&handle, &offset, &length]),
        request(6, &[&handle, &offset, &text("data")]),
        request(12, &[&handle]),
        request(9, &[&text("/tmp/file"), &attributes]),
        request(18, &[&text("from"), &text("to")]),
        request(20, &[&text("target"), &text("link")]),
        request(200, &[&text("posix-rename@openssh.com"), &text("from"), &text("to")]),
        request(200, &[&text("limits@openssh.com")]),
        // A path that is longer than the message.
        request(3, &[&[0, 0, 0xff, 0xff], b"/tmp"]),
    ]
}

fn key_lines() -> Vec<String> {
    let ed25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJuUKs/bV1ZouClZX5d1hGLfovnl1NeE5L0q/IzcVZtC";
    let security = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIJuUKs/bV1ZouClZX5d1hGLfovnl1NeE5L0q/IzcVZtCAAAABHNzaDo=";
    let ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGsX0fLhLEJH+Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT+NC4v4af5uO5+tKfA+eFivOM1drMV7Oy7ZAaDe/UfU=";
    let mut lines: Vec<_> = [ed25519, security, ecdsa].map(|key| format!("{key} my laptop")).into();
    lines.push(rsa(2048, &[1, 0, 1]));
    lines.push(rsa(1024, &[1, 0, 1]));
    lines.push(rsa(2048, &[1]));
    lines.push(format!("no-pty {ed25519}"));
    lines.push(format!("{ed25519}\n{ed25519}"));
    lines.push("ssh-ed25519-cert-v01@openssh.com AAAA".into());
    lines.push("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==".into());
    lines.push("SHA256:kyACqo6dCQiHxwkTuio8sXvt+GX5xd8eHYNywN0h7Oo".into());
    lines
}

/// An RSA public key; no number that somebody has the factors of.
fn rsa(bits: usize, exponent: &[u8]) -> String {
    let modulus = [vec![0, 0xc5], vec![0xc5; bits / 8 - 1]].concat();
    let mpint = |bytes: &[u8]| ssh_key::Mpint::from_positive_bytes(bytes);
    let key = ssh_key::public::RsaPublicKey::new(mpint(exponent), mpint(&modulus)).unwrap();
    let public = ssh_key::PublicKey::new(ssh_key::public::KeyData::Rsa(key), "rsa");
    public.to_openssh().unwrap()
}

fn key_shards() -> Vec<Vec<u8>> {
    let fingerprint = |last| Fingerprint(std::array::from_fn(|i| if i == 31 { last } else { 5 }));
    let row = |last, name: &str, end| key_shard::row(&fingerprint(last), &user(name), end);
    let soon = Some(Timestamp::from_unix(1_800_000_000));
    let one = vec![row(1, "alice", None)];
    let shared = vec![row(1, "alice", None), row(3, "alice", soon), row(3, "bob", None), row(3, "carol", soon)];
    let many: Vec<[u8; ROW]> = (0..40).map(|last| row(last * 3, "alice", soon)).collect();
    let built = [one, shared.clone(), many].map(key_shard::build);
    let unsorted = shared.iter().rev().flatten().copied().collect();
    let doubled = [shared[0], shared[0]].concat();
    built.into_iter().chain([unsorted, doubled, shared[0][..ROW - 1].to_vec()]).collect()
}

/// The genuine one; one changed; payloads in other orders and with other ends, which only the edge could sign.
fn manifests() -> Vec<String> {
    let genuine = properties::manifest::genuine();
    let payload = genuine.lines().next().unwrap_or_default().to_owned();
    let shard = |family: &str, id: u8| format!(r#"{{"family":"{family}","id":{id},"length":1,"sha256":"{}"}}"#, "0".repeat(64));
    let with = |shards: &[String]| {
        let times = r#""issuedAt":"2027-01-15T08:00:00Z","notAfter":"2027-01-16T08:00:00Z""#;
        format!(r#"{{"version":1,"seq":18446744073709551615,{times},"shards":[{}]}}"#, shards.join(","))
    };
    vec![
        genuine.into(),
        genuine.replacen("\"seq\":7", "\"seq\":8", 1),
        payload.clone(),
        payload.replace("\"version\":1", "\"version\":2"),
        with(&[]),
        with(&[shard("k", 0), shard("k", 255), shard("w", 3), shard("d", 0)]),
        with(&[shard("w", 3), shard("k", 3)]),
        with(&[shard("k", 3), shard("k", 3)]),
    ]
}

/// An agent's documents, as payloads that only the edge could sign.
fn documents() -> Vec<String> {
    let key = |byte: u8, user: &str, end: &str| {
        let fingerprint = Fingerprint([byte; 32]);
        format!(r#"{{"fingerprint":"{fingerprint}","user":"{user}"{end}}}"#)
    };
    let with = |version: u32, keys: &[String]| {
        let times = r#""issuedAt":"2027-01-15T08:00:00Z","notAfter":"2027-01-16T08:00:00Z""#;
        let keys = keys.join(",");
        format!(r#"{{"version":{version},"workspace":"796636","seq":7,{times},"keys":[{keys}],"daemons":[],"signers":[]}}"#)
    };
    let end = r#","notAfter":"2027-01-15T09:00:00Z""#;
    let shared = [key(1, "alice", ""), key(2, "alice", end), key(2, "bob", "")];
    let all = with(1, &shared);
    vec![with(1, &[]), all.clone(), with(2, &shared), all.replace("796636", "ws-1"), all[..90].to_owned()]
}

fn directories() -> Vec<String> {
    let identity = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJuUKs/bV1ZouClZX5d1hGLfovnl1NeE5L0q/IzcVZtC";
    let daemon = |id: &str| {
        format!(r#"{{"id":"{id}","region":"eu","identity":"{identity}","addresses":["eu.example.com:443","192.0.2.1:443"]}}"#)
    };
    let list = |ids: &[&str]| format!("[{}]", ids.iter().map(|id| daemon(id)).collect::<Vec<_>>().join(","));
    vec!["[]".into(), list(&["eu-1"]), list(&["eu-1", "eu-2"]), list(&["eu-2", "eu-1"]), list(&["eu-1", "eu-1"]), "[{}]".into()]
}

fn open_headers() -> Vec<Vec<u8>> {
    let ticket = Ticket { id: StrandId([7; ID]), secret: Secret::new([9; SECRET]) };
    let open = |user: &str, client: &str, trace: &str| Open {
        user: user.parse().unwrap(),
        fingerprint: Fingerprint([0x2a; 32]),
        client: client.parse().unwrap(),
        trace_id: trace.into(),
        ticket: ticket.clone(),
        patience: Duration::from_secs(300),
    };
    let good = [open("alice", "[::1]:99", "t1"), open("auth0|5f", "192.0.2.1:65535", ""), open("a", "[fe80::1%3]:22", "\u{fc}")];
    let wire: Vec<_> = good.iter().map(|open| open.encode()[LENGTH..].to_vec()).collect();
    let cut = wire[0][..20].to_vec();
    let resume = Resume::new(&ticket, 1, 258).encode()[LENGTH..].to_vec();
    wire.into_iter().chain([resume, cut, b"\x01".to_vec()]).collect()
}

fn answers() -> Vec<Vec<u8>> {
    let words = ["", "the agent has no such connection any more", "\u{fc}"].map(|words| Answer::Gone { words: words.into() });
    let answers = words.into_iter().chain([0, 258, u64::MAX].map(|received| Answer::Resumed { received }));
    let wire: Vec<_> = answers.map(|answer| answer.encode()[LENGTH..].to_vec()).collect();
    let cut = wire[1][..9].to_vec();
    wire.into_iter().chain([cut, b"\x22".to_vec()]).collect()
}

/// Where to cut, then records: a whole conversation, a break, a window's worth of lies.
fn strands() -> Vec<Vec<u8>> {
    let seed = |cut: u8, parts: &[(Record, &[u8])]| {
        let mut wire = bytes::BytesMut::from(&[cut][..]);
        for (record, data) in parts {
            record.encode(&mut wire);
            wire.extend_from_slice(data);
        }
        wire.to_vec()
    };
    let data = |data: &'static [u8]| (Record::Data(data.len()), data);
    let none: &[u8] = b"";
    vec![
        seed(1, &[data(b"hello"), (Record::Taken(9), none), data(b"x"), (Record::Taken(10), none), (Record::Fin(6), none)]),
        seed(3, &[data(b"hello"), (Record::Stop, none), (Record::Reset(99), none)]),
        seed(255, &[(Record::Fin(0), none), data(b"late")]),
        seed(2, &[(Record::Taken(11), none)]),
        seed(2, &[(Record::Taken(3), none), (Record::Taken(2), none)]),
        seed(2, &[data(b"x"), (Record::Reset(0), none)]),
        seed(7, &[(Record::Reset(1 << 40), none)]),
        seed(7, &[(Record::Data(1 << 20), b"cut short")]),
    ]
}

fn targets() -> Vec<String> {
    let good = ["796636", "ws-796636", "0.12.39.220", "WS-796636.EU.example.com", "lighthouse.local", "4294967296", "a-1"];
    let bad = ["", "ws-ws-1", "127.1", "0x7f.0.0.1", "007", "::1", "796636.evil.com", ".local", "a b", "\u{ff11}"];
    good.iter().chain(&bad).map(|host| host.to_string()).collect()
}

fn tokens() -> Vec<String> {
    let scopes = [Scope::Operator, Scope::User, Scope::Agent, Scope::Daemon];
    let good = scopes.map(|scope| Token::mint(scope, &[7; 32]).expose().to_owned());
    let other_scope = good[1].replace("dbu_", "dbo_");
    let cut = good[0][..51].to_owned();
    good.into_iter().chain([other_scope, cut, TokenHash([9; 32]).to_hex(), "Bearer".into()]).collect()
}

fn workspace_shards() -> Vec<Vec<u8>> {
    let workspace = |id: &str, key: Option<&str>, members: &[&str]| Workspace {
        id: id.parse().unwrap(),
        region: "eu".into(),
        agent_key: key.map(String::from),
        members: members.iter().map(|name| user(name)).collect(),
        asleep: members.is_empty(),
    };
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJuUKs/bV1ZouClZX5d1hGLfovnl1NeE5L0q/IzcVZtC";
    let one = workspace("796636", Some(key), &["alice", "bob"]);
    let id = workspace_shard::shard_of(&one.id);
    // Two that fall into one shard.
    let beside = (0..).map(|n| format!("w{n}")).find(|name| workspace_shard::shard_of(&label(name)) == id).unwrap();
    let both = workspace_shard::build(vec![one.clone(), workspace(&beside, None, &[])]);
    let strangers = workspace_shard::build(vec![one.clone(), workspace("lighthouse", None, &["alice"])]);
    vec![workspace_shard::build(vec![one]), both, strangers, b"[]".to_vec(), b"[{}]".to_vec()]
}

fn user(name: &str) -> UserId {
    name.parse().unwrap()
}

fn label(name: &str) -> WorkspaceId {
    name.parse().unwrap()
}

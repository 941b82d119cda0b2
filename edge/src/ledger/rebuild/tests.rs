//! A Ledger that lost everything says the same again, and never counts back.

use super::*;
use crate::{
    command::{Call, Command, OperatorCommand, Outcome, SnapshotCommand, UserCommand},
    ledger::Reply,
    rows::Memory,
    secrets::{OPERATOR_TOKEN, SIGNING_KEY, Secrets},
};
use drawbridge_shared::{
    fingerprint::Fingerprint,
    signed::TrustRoots,
    token::{Scope, Token, TokenHash},
};
use ssh_key::{LineEnding, PrivateKey, private::Ed25519Keypair};
use std::{collections::BTreeMap, time::Duration};

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
const SETTLED: Timestamp = Timestamp::from_unix(1_800_000_090);
const PAGE: usize = 7;
const NOTHING: Listed = (Vec::new(), None);

fn signing() -> PrivateKey {
    Ed25519Keypair::from_seed(&[1; 32]).into()
}

fn operator() -> Token {
    Token::mint(Scope::Operator, &[1; 32])
}

fn ledger() -> Ledger<Memory> {
    let secrets = Secrets::read(&|name: &str| match name {
        OPERATOR_TOKEN => Some(operator().expose().into()),
        SIGNING_KEY => Some(signing().to_openssh(LineEnding::LF).unwrap().to_string()),
        _ => None,
    });
    Ledger::new(Memory::default(), secrets)
}

fn call(ledger: &Ledger<Memory>, token: TokenHash, command: impl Into<Command>) -> Reply {
    ledger.call(Call { token, command: command.into() }, NOW).0
}

fn manifest(ledger: &Ledger<Memory>, now: Timestamp) -> Manifest {
    let command = SnapshotCommand::Manifest { held: None }.into();
    let Ok(Outcome::Manifest { text, .. }) = ledger.call(Call { token: operator().hash(), command }, now).0 else { panic!() };
    let trust: TrustRoots = signing().public_key().to_openssh().unwrap().parse().unwrap();
    Manifest::verify(&text, &trust, now, SnapshotSeq(0), Duration::ZERO).unwrap()
}

/// A Ledger with a bit of everything, and what KV has of it.
fn lived(tokens: &[TokenHash]) -> (Ledger<Memory>, BTreeMap<String, Vec<u8>>) {
    let ledger = ledger();
    for (number, hash) in tokens.iter().enumerate() {
        let subject = format!("user/{number}");
        let put = OperatorCommand::PutToken { hash: *hash, scope: Scope::User, subject: subject.clone(), expires_at: None };
        call(&ledger, operator().hash(), put).unwrap();
        let id: WorkspaceId = format!("w{number}").parse().unwrap();
        call(&ledger, operator().hash(), OperatorCommand::PutWorkspace { id: id.clone(), region: "eu".into() }).unwrap();
        call(&ledger, operator().hash(), OperatorCommand::PutMember(id, subject.parse().unwrap())).unwrap();
        for byte in 0..5 {
            let fingerprint = Fingerprint([byte * 50 + number as u8; 32]);
            let expires_at = (byte == 1).then(|| NOW.after(Duration::from_secs(60)));
            let add = UserCommand::AddKey { fingerprint, line: "ssh-ed25519 AAAA".into(), title: "t".into(), expires_at };
            call(&ledger, *hash, add).unwrap();
        }
    }
    let mut kv = BTreeMap::new();
    while let Some(pass) = ledger.next_pass().unwrap() {
        kv.extend(pass.iter().flatten().filter_map(|(name, value)| Some((name.clone(), value.clone()?))));
        ledger.applied(&pass).unwrap();
    }
    (ledger, kv)
}

fn listed(kv: &BTreeMap<String, Vec<u8>>) -> Listed {
    (kv.keys().take(1).cloned().collect(), Some("the rest".to_owned()))
}

fn page(kv: &BTreeMap<String, Vec<u8>>, folder: &str, cursor: &str) -> (Vec<(String, Vec<u8>)>, Option<String>) {
    let behind = kv.iter().filter(|(name, _)| name.starts_with(folder) && name.as_str() > cursor);
    let all: Vec<_> = behind.map(|(name, value)| (name.clone(), value.clone())).collect();
    let next = (all.len() > PAGE).then(|| all[PAGE - 1].0.clone());
    (all.into_iter().take(PAGE).collect(), next)
}

#[test]
fn it_says_the_same_again_under_a_higher_number() {
    let tokens: Vec<_> = (0..4).map(|n| Token::mint(Scope::User, &[n + 2; 32]).hash()).collect();
    let (before, kv) = lived(&tokens);
    let after = ledger();
    assert!(!after.is_born().unwrap());
    after.begin(&listed(&kv), Some(&kv[names::MANIFEST]), SETTLED, NOW).unwrap();
    assert_eq!(after.rebuild_step(NOW), Ok(Some(Step::Wait(SETTLED))));
    let now = SETTLED;
    let mut steps = 0;
    while let Some(step) = after.rebuild_step(now).unwrap() {
        match &step {
            Step::Wait(_) => panic!("it has settled"),
            // An alarm and the clock may both have woken it.
            Step::Read(folder, cursor) => {
                for (page, next) in [(); 2].map(|()| page(&kv, folder, cursor.as_deref().unwrap_or_default())) {
                    after.take_page(&step, page, next).unwrap();
                }
            }
            Step::Build => after.build_shards(now).unwrap(),
        }
        steps += 1;
    }
    assert!(after.is_born().unwrap() && steps > FOLDERS.len() + SHARDS / REBUILD_SHARDS);
    let (old, new) = (manifest(&before, now), manifest(&after, now));
    assert_eq!(new.shards, old.shards);
    assert!(new.seq.0 > old.seq.0 + REBUILD_LEAP / 2);
    for token in &tokens {
        let workspaces = UserCommand::ListWorkspaces(crate::command::PageOf { cursor: None, limit: 9 });
        assert_eq!(call(&after, *token, UserCommand::ListKeys), call(&before, *token, UserCommand::ListKeys));
        assert_eq!(call(&after, *token, workspaces.clone()), call(&before, *token, workspaces));
    }
    // Its indexes are whole: a workspace that goes takes its members along, a token can be revoked.
    call(&after, operator().hash(), OperatorCommand::DeleteWorkspace("w1".parse().unwrap())).unwrap();
    call(&after, operator().hash(), OperatorCommand::RevokeToken(tokens[0])).unwrap();
    assert!(after.rows.scan("s/", "", 1).unwrap().is_empty(), "what was only for building is gone");
}

#[test]
fn a_rebuild_begins_once() {
    let (_, kv) = lived(&[Token::mint(Scope::User, &[2; 32]).hash()]);
    let (after, listed, manifest) = (ledger(), listed(&kv), Some(&*kv[names::MANIFEST]));
    after.begin(&listed, manifest, SETTLED, NOW).unwrap();
    after.begin(&listed, manifest, SETTLED.after(Duration::from_secs(50)), NOW).unwrap();
    assert_eq!(after.rebuild_step(NOW), Ok(Some(Step::Wait(SETTLED))));
    assert!(after.begin(&listed, Some(b"no manifest"), SETTLED, NOW).is_ok(), "it is under way");
    after.begin(&NOTHING, None, SETTLED, NOW).unwrap();
    assert!(!after.is_born().unwrap(), "somebody looked where KV was older");
    assert!(ledger().begin(&listed, Some(b"no manifest"), SETTLED, NOW).is_err());
    let born = ledger();
    born.begin(&NOTHING, None, SETTLED, NOW).unwrap();
    born.begin(&listed, manifest, SETTLED, NOW).unwrap();
    assert_eq!(born.rebuild_step(NOW), Ok(None), "somebody looked when there was nothing");
    let unpublished = ledger();
    unpublished.begin(&listed, None, SETTLED, NOW).unwrap();
    assert_eq!(unpublished.rebuild_step(SETTLED), Ok(Some(Step::Read(names::TOKENS, None))));
}

#[test]
fn an_empty_page_is_no_empty_kv() {
    let (_, kv) = lived(&[Token::mint(Scope::User, &[2; 32]).hash()]);
    let deleted = (Vec::new(), Some("goes on".to_owned()));
    for (listed, manifest) in [(&deleted, None), (&NOTHING, Some(&*kv[names::MANIFEST])), (&deleted, Some(&*kv[names::MANIFEST]))]
    {
        let after = ledger();
        after.begin(listed, manifest, SETTLED, NOW).unwrap();
        assert!(!after.is_born().unwrap() && after.rebuild_step(NOW) == Ok(Some(Step::Wait(SETTLED))));
    }
}

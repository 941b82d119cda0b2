//! One change in the Ledger, natively: its CPU, and what it publishes.

use crate::million::{Million, user_of};
use anyhow::{Context, Result, bail, ensure};
use drawbridge_edge::{
    command::{Call, Command, OperatorCommand, Outcome, SnapshotCommand, UserCommand},
    ledger::{Effects, Ledger},
    rows::Memory,
    secrets::{OPERATOR_TOKEN, SIGNING_KEY, Secrets},
};
use drawbridge_shared::{
    fingerprint::Fingerprint,
    id::SnapshotSeq,
    signed::TrustRoots,
    snapshot::{BlobHash, Manifest, ShardRef},
    time::Timestamp,
    token::{Scope, Token, TokenHash},
};
use e2e::figures::{Figure, Goal};
use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest, Sha256};
use ssh_key::LineEnding;
use std::{collections::HashSet, time::Duration};

/// What one change published.
pub(crate) struct Published {
    pub(crate) manifest: String,
    pub(crate) shards: Vec<(ShardRef, Vec<u8>)>,
}

/// Changes in the order of their publishing.
pub(crate) struct Changes {
    pub(crate) trust: TrustRoots,
    pub(crate) now: Timestamp,
    pub(crate) published: Vec<Published>,
}

/// CPU time of this thread.
pub(crate) fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// `count` times, in turn: a user adds a key, and removes it.
pub(crate) fn changes(million: Million, count: usize) -> Result<(Changes, Figure)> {
    let (trust, now, keys) = (million.trust()?, million.now, million.keys);
    let mut held: HashSet<_> = million.blobs.keys().copied().collect();
    let bench = Bench::new(million)?;
    let (mut published, mut samples) = (Vec::new(), Vec::new());
    for n in 0..count {
        let token = bench.user(n / 2 * 7919 % keys)?;
        let command = change(n);
        let begun = cpu();
        let effects = bench.call(token, command)?.1;
        samples.push((cpu() - begun).as_secs_f64() * 1e3);
        published.push(bench.read(effects, &trust, &mut held)?);
    }
    let what = format!("one change in the Ledger at {keys} keys, native: CPU");
    Ok((Changes { trust, now, published }, Figure::new(what, "ms", samples, Goal::Median(5.0))?))
}

fn change(n: usize) -> UserCommand {
    let fingerprint = Fingerprint(Sha256::digest(format!("new {}", n / 2)).into());
    let line = format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{:0>43}", n);
    match n % 2 {
        0 => UserCommand::AddKey { fingerprint, line, title: "new".into(), expires_at: None },
        _ => UserCommand::RemoveKey(fingerprint),
    }
}

struct Bench {
    ledger: Ledger<Memory>,
    operator: TokenHash,
    now: Timestamp,
}

impl Bench {
    fn new(million: Million) -> Result<Self> {
        let operator = Token::mint(Scope::Operator, &[0xEE; 32]);
        let pem = million.edge.ssh().to_openssh(LineEnding::LF)?;
        let environment = |name: &str| match name {
            OPERATOR_TOKEN => Some(operator.expose().to_owned()),
            SIGNING_KEY => Some(pem.to_string()),
            _ => None,
        };
        let ledger = Ledger::new(million.rows, Secrets::read(&environment));
        Ok(Self { ledger, operator: operator.hash(), now: million.now })
    }

    fn call(&self, token: TokenHash, command: impl Into<Command>) -> Result<(Outcome, Effects)> {
        let (reply, effects) = self.ledger.call(Call { token, command: command.into() }, self.now);
        Ok((reply.map_err(|refusal| anyhow::anyhow!("refused: {refusal}"))?, effects))
    }

    /// A token of the user who has the key `n`.
    fn user(&self, n: usize) -> Result<TokenHash> {
        let user = user_of(n)?;
        let hash = TokenHash(Sha256::digest(user.as_str()).into());
        let subject = user.as_str().to_owned();
        self.call(self.operator, OperatorCommand::PutToken { hash, scope: Scope::User, subject, expires_at: None })?;
        Ok(hash)
    }

    /// The manifest, and the shards that it names and the one before, which named those `held`, did not.
    fn read(&self, effects: Effects, trust: &TrustRoots, held: &mut HashSet<BlobHash>) -> Result<Published> {
        let text = effects.published.context("nothing was published")?;
        let manifest = Manifest::verify(&text, trust, self.now, SnapshotSeq(0), Duration::ZERO)?;
        let named = manifest.shards.iter().map(|shard| shard.sha256).collect();
        let before = std::mem::replace(held, named);
        let fresh = manifest.shards.into_iter().filter(|shard| !before.contains(&shard.sha256));
        let shards = fresh.map(|shard| Ok((shard, self.blob(shard.sha256)?))).collect::<Result<Vec<_>>>()?;
        ensure!(shards.len() <= 1, "one change replaced {} shards", shards.len());
        Ok(Published { manifest: text, shards })
    }

    fn blob(&self, hash: BlobHash) -> Result<Vec<u8>> {
        match self.call(self.operator, SnapshotCommand::Blob(hash))?.0 {
            Outcome::Blob(bytes) => Ok(bytes),
            other => bail!("a shard was asked for, and came: {other:?}"),
        }
    }
}

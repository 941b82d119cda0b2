//! What only an edge of its own can show: limits that are reached, a Ledger that is lost, and the document it serves.

use crate::{Run::Shared, Test};
use anyhow::{Context, Result, ensure};
use drawbridge_shared::token::{Scope, Token};
use e2e::{SOON, Stack, within};
use serde_json::{Value, json};
use std::{fs, path::Path, time::Duration};
use tempfile::TempDir;
use xtask::{
    api::Api,
    root,
    stack::{Edge, keygen, mint},
};

pub(crate) const TESTS: &[Test] = &[
    ("edge_alone::calls_are_limited_by_token_and_by_address", Shared(limited)),
    ("edge_alone::a_known_token_goes_on_where_its_address_is_flooded", Shared(crowded)),
    ("edge_alone::changes_are_counted_by_user", Shared(changes)),
    ("edge_alone::a_lost_ledger_comes_back_from_kv", Shared(lost)),
    ("edge_alone::the_document_is_served", Shared(document)),
];

/// Calls are counted by the minute.
const MINUTE: Duration = Duration::from_secs(60);

fn alone() -> Result<(TempDir, Edge)> {
    let folder = tempfile::tempdir()?;
    let edge = Edge::alone(root(), &folder.path().join("stack"))?;
    Ok((folder, edge))
}

fn document(world: &Stack) -> Result<()> {
    let served = Api::new(&world.edge.url, "").get("/api/openapi.json")?;
    let file = fs::read_to_string(root().join("edge/assets/api/openapi.json"))?;
    ensure!(served.json::<Value>()? == serde_json::from_str::<Value>(&file)?, "another document is served");
    Ok(())
}

/// The platform counts approximately: what must hold is that a flood ends in 429, and that it says when to come back.
fn limited(_: &Stack) -> Result<()> {
    let (_folder, mut edge) = alone()?;
    let token = mint(&edge.operator(), "user", "alice")?;
    edge.stop();
    edge.limit(40)?;
    edge.restart()?;
    let api = Api::new(&edge.url, &token);
    let flood = || (0..200).map(|_| api.get("/api/ssh/keys")).collect::<Result<Vec<_>>>();
    let calls = flood()?;
    let refused = calls.iter().find(|answer| answer.status == 429).context("200 calls were let through")?;
    ensure!(calls.first().is_some_and(|answer| answer.status == 200), "the first call is no flood");
    let problem: Value = serde_json::from_str(&refused.body)?;
    ensure!(problem["status"] == 429 && problem["traceId"].is_string(), "{problem}");
    ensure!(refused.retry_after.is_some(), "it does not say when to come back");
    // A minute that begins in between forgets the flood.
    within(MINUTE, "the address is counted too", || {
        let stranger = Api::new(&edge.url, "").get("/api/ssh/keys")?;
        Ok(stranger.status == 429 || flood()?.is_empty())
    })
}

/// Who floods is not alone behind their address.
fn crowded(_: &Stack) -> Result<()> {
    let (folder, mut edge) = alone()?;
    let tokens = [mint(&edge.operator(), "user", "alice")?, mint(&edge.operator(), "user", "alice")?];
    settled(&edge, folder.path())?;
    edge.stop();
    edge.limit(20)?;
    edge.restart()?;
    let strange = Token::mint(Scope::User, &[7; 32]);
    let call = |token: &str| Ok(Api::new(&edge.url, token).get("/api/ssh/keys")?.status);
    let flood = || (0..50).map(|_| call("")).collect::<Result<Vec<_>>>();
    // A minute that begins in between forgets the flood, and whom it did not concern.
    within(MINUTE, "a known token goes on, and no other", || {
        Ok(flood()?.ends_with(&[429]) && call(&tokens[0])? == 200 && call(strange.expose())? == 429)
    })?;
    within(MINUTE, "all tokens of one user are counted together there", || {
        flood()?;
        let calls = (0..30).map(|at| call(&tokens[at % 2])).collect::<Result<Vec<_>>>()?;
        Ok(calls.starts_with(&[200]) && calls.ends_with(&[429]))
    })
}

/// However many tokens they have.
fn changes(_: &Stack) -> Result<()> {
    let (folder, mut edge) = alone()?;
    let tokens = (0..4).map(|_| mint(&edge.operator(), "user", "alice")).collect::<Result<Vec<_>>>()?;
    settled(&edge, folder.path())?;
    edge.stop();
    let file = folder.path().join("stack/edge/wrangler.toml");
    let config = fs::read_to_string(&file)?;
    let (before, after) = config.split_once("LIMIT_CHANGES").context("no such limit")?;
    let (between, after) = after.split_once("limit = ").context("no limit there")?;
    fs::write(&file, format!("{before}LIMIT_CHANGES{between}limit = 8, period = 60 }} #{after}"))?;
    edge.restart()?;
    let unknown = json!({ "publicKeyFingerprint": format!("SHA256:{}", "A".repeat(43)) });
    let change = |token: &String| Ok(Api::new(&edge.url, token).delete("/api/ssh/keys", &unknown)?.status);
    // Three by each token are as many as it may make alone. A minute that begins in between forgets some.
    within(MINUTE, "changes are counted by user", || {
        let calls = tokens.iter().cycle().take(12).map(change).collect::<Result<Vec<_>>>()?;
        Ok(calls.starts_with(&[404]) && calls.ends_with(&[429]))
    })
}

fn lost(_: &Stack) -> Result<()> {
    let (folder, mut edge) = alone()?;
    let (operator, token) = (edge.operator(), mint(&edge.operator(), "user", "alice")?);
    operator.put("/api/operator/workspaces/796636", &json!({ "region": "eu" }))?.ok().context("a workspace")?;
    operator.put("/api/operator/workspaces/796636/members/alice", &json!({}))?.ok()?;
    let api = Api::new(&edge.url, &token);
    for name in ["one", "two", "three"] {
        let key = keygen(&folder.path().join(name), name)?;
        let line = fs::read_to_string(key.with_extension("pub"))?;
        api.post("/api/ssh/keys", &json!({ "publicKey": line }))?.ok().context("before the loss")?;
    }
    let (keys, shards) = (api.get("/api/ssh/keys")?.body, snapshot(&operator)?);
    let kv = folder.path().join("stack/edge/state/v3/kv");
    within(SOON, "KV has the manifest, which comes behind everything else", || holds(&kv, &shards.1))?;
    edge.stop();
    edge.lose_ledger()?;
    edge.restart()?;
    let first = api.get("/api/ssh/keys")?;
    ensure!(first.status == 503 || first.body == keys, "{}: {}", first.status, first.body);
    let unknown = json!({ "publicKeyFingerprint": format!("SHA256:{}", "A".repeat(43)) });
    within(SOON, "the Ledger is back", || Ok(api.delete("/api/ssh/keys", &unknown)?.status == 404))?;
    ensure!(api.get("/api/ssh/keys")?.body == keys, "other keys came back");
    let again = snapshot(&operator)?;
    ensure!(again.2 == shards.2 && again.0 > shards.0, "{again:?} is not {shards:?} under a higher number");
    let mine: Value = api.get("/api/ssh/workspaces")?.json().context("after the loss")?;
    ensure!(mine["items"][0]["id"] == "796636", "{mine}");
    Ok(())
}

/// KV has what came so far: its manifest comes behind everything else.
fn settled(edge: &Edge, folder: &Path) -> Result<()> {
    edge.operator().put("/api/operator/workspaces/796636", &json!({ "region": "eu" }))?.ok()?;
    let (_, manifest, _) = snapshot(&edge.operator())?;
    within(SOON, "KV has the manifest", || holds(&folder.join("stack/edge/state/v3/kv"), &manifest))
}

/// Whether some file below `folder` holds exactly `text`.
fn holds(folder: &Path, text: &str) -> Result<bool> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let found = if path.is_dir() { holds(&path, text)? } else { fs::read(&path).is_ok_and(|held| held == text.as_bytes()) };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Number, text and shards of the current manifest.
fn snapshot(operator: &Api) -> Result<(u64, String, Value)> {
    let text = operator.get("/v1/snapshot")?.body;
    let manifest: Value = serde_json::from_str(text.lines().next().unwrap_or_default())?;
    Ok((manifest["seq"].as_u64().context("no number")?, text, manifest["shards"].clone()))
}

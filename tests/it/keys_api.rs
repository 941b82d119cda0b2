//! The key API under real workerd, as existing clients call it.

use crate::{Run::Shared, Test, tunnels::Place};
use anyhow::{Context, Result, ensure};
use drawbridge_shared::token::{Scope, Token};
use e2e::{SOON, Session, Stack, within};
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    thread,
};
use xtask::api::{Answer, Api};

pub(crate) const TESTS: &[Test] = &[
    ("keys_api::register_list_delete", Shared(round)),
    ("keys_api::bad_lines_get_a_title_that_says_why", Shared(bad_lines)),
    ("keys_api::every_error_is_the_contracts", Shared(errors)),
    ("keys_api::methods_that_no_address_takes_are_refused", Shared(methods)),
    ("keys_api::a_get_with_a_body_is_answered_by_the_ledger", Shared(bodies)),
    ("keys_api::an_import_of_nobodys_is_not_read", Shared(nobodys_import)),
    ("keys_api::a_wish_to_be_upgraded_is_refused_where_nothing_is", Shared(upgrades)),
    ("keys_api::the_feed_takes_a_get_alone", Shared(feed)),
    ("keys_api::fifteen_at_once_lose_none", Shared(at_once)),
    ("keys_api::ten_of_the_same_make_one", Shared(the_same)),
    ("keys_api::a_login_is_the_keys_last_use", Shared(last_use)),
];

fn key_line(name: &str) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let file = xtask::stack::keygen(&folder.path().join("key"), name)?;
    Ok(std::fs::read_to_string(file.with_extension("pub"))?)
}

fn new_api(world: &Stack, user: &str) -> Result<Api> {
    Ok(Api::new(&world.edge.url, &xtask::stack::mint(&world.edge.operator(), "user", user)?))
}

fn register(api: &Api, line: &str) -> Result<Answer> {
    api.post("/api/ssh/keys", &json!({"publicKey": line}))
}

fn round(world: &Stack) -> Result<()> {
    let api = new_api(world, "api-round")?;
    ensure!(api.get("/api/ssh/keys")?.json::<Value>()? == json!([]));
    let line = key_line("my laptop")?;
    let answer = register(&api, &line)?;
    ensure!(answer.status == 201, "{answer:?}");
    let item: Value = answer.json()?;
    ensure!(item["publicKey"] == line.trim() && item["title"] == "my laptop", "{item}");
    ensure!(item["createdAt"].as_str().is_some_and(|at| at.ends_with('Z')), "{item}");
    ensure!(register(&api, &line)?.status == 409);
    ensure!(api.get("/api/ssh/keys")?.json::<Value>()? == json!([item]));
    let fingerprint = json!({"publicKeyFingerprint": item["publicKeyFingerprint"]});
    ensure!(api.delete("/api/ssh/keys", &fingerprint)?.status == 204);
    ensure!(api.delete("/api/ssh/keys", &fingerprint)?.status == 404);
    ensure!(api.get("/api/ssh/keys")?.json::<Value>()? == json!([]));
    Ok(())
}

fn bad_lines(world: &Stack) -> Result<()> {
    let api = new_api(world, "api-bad")?;
    let good = key_line("x")?;
    let cases = [
        ("hello", "Unsupported key type"),
        (&format!("no-pty {good}"), "Options in front of a public key are not accepted"),
        (&format!("{good}{good}"), "A public key is a single line without control characters"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0", "This is a private key"),
    ];
    for (line, title) in cases {
        let answer = register(&api, line)?;
        let problem: Value = serde_json::from_str(&answer.body)?;
        ensure!(answer.status == 400 && problem["title"] == title, "{answer:?}");
        ensure!(!answer.body.contains("c2VjcmV0"), "a private key is never echoed");
    }
    Ok(())
}

fn errors(world: &Stack) -> Result<()> {
    let api = new_api(world, "api-errors")?;
    let nobody = Api::new(&world.edge.url, "nonsense");
    let answers = [
        (nobody.get("/api/ssh/keys")?, 401),
        (api.get("/api/nowhere")?, 404),
        (api.put("/api/ssh/keys", &json!({}))?, 405),
        (api.post("/api/ssh/keys", &json!({"publicKey": 5}))?, 400),
        (api.post("/api/ssh/keys", &json!({"publicKey": "x".repeat(20_000)}))?, 413),
        (api.get("/api/operator/workspaces")?, 403),
        (api.get("/v1/snapshot")?, 403),
    ];
    for (answer, status) in answers {
        let problem: Value = serde_json::from_str(&answer.body).with_context(|| answer.body.clone())?;
        let shaped = problem["title"].is_string() && problem["traceId"].is_string() && problem["status"] == status;
        ensure!(answer.status == status && shaped, "{answer:?} is no {status}");
    }
    Ok(())
}

/// Found by schemathesis: behind a good token, a method that our runtime's library does not know was taken for a GET.
fn methods(world: &Stack) -> Result<()> {
    let api = new_api(world, "api-methods")?;
    for method in ["QUERY", "PROPFIND", "SEARCH", "REPORT"] {
        for path in ["/api/ssh/keys", "/healthz", "/v1/snapshot"] {
            let answer = api.call(method, path)?;
            ensure!(answer.status == 405 && answer.body.contains("\"traceId\""), "{method} {path}: {answer:?}");
        }
    }
    Ok(())
}

/// Found by hand: a body that nobody reads kept a request from the Ledger, and KV's older word was given in its place.
fn bodies(world: &Stack) -> Result<()> {
    let token = xtask::stack::mint(&world.edge.operator(), "user", "api-bodies")?;
    for path in ["/api/ssh/keys", "/api/ssh/workspaces"] {
        for method in ["GET", "HEAD"] {
            let (status, head) = raw(world, method, path, &token, "Content-Type: application/json", "{}")?;
            ensure!(status == 200 && !head.contains("drawbridge-stale"), "{method} {path}: {head}");
        }
    }
    world.edge.operator().call("DELETE", &format!("/api/operator/tokens/{}", token.parse::<Token>()?.hash().to_hex()))?.ok()?;
    let (status, head) = raw(world, "GET", "/api/ssh/keys", &token, "Content-Type: application/json", "{}")?;
    ensure!(status == 401, "a token that was revoked still reads: {head}");
    Ok(())
}

/// Whatever bears a token of ours by its shape gets as far as the Ledger, which has one thread for everybody.
fn nobodys_import(world: &Stack) -> Result<()> {
    // More lines than an import may have: whoever reads them says so.
    let lines = "{}\n".repeat(2000);
    let made_up = Token::mint(Scope::Operator, &[9; 32]);
    for (token, expected) in [(made_up.expose(), 401), (&world.edge.operator_token, 413)] {
        let (status, head) = raw(world, "POST", "/api/operator/import", token, "Content-Type: application/x-ndjson", &lines)?;
        ensure!(status == expected, "an import was answered with {status}, not {expected}: {head}");
    }
    Ok(())
}

/// Found by hand: the runtime makes a GET of whatever wants to be upgraded, before our Worker sees it, so that a DELETE was
/// answered and had deleted nothing.
fn upgrades(world: &Stack) -> Result<()> {
    let token = xtask::stack::mint(&world.edge.operator(), "user", "api-upgrades")?;
    for method in ["DELETE", "GET", "POST"] {
        let (status, head) = raw(world, method, "/api/ssh/keys", &token, "Connection: Upgrade\r\nUpgrade: websocket", "")?;
        ensure!(status == 400 && head.contains("application/problem+json"), "{method}: {head}");
    }
    Ok(())
}

/// Its GET becomes a WebSocket.
fn feed(world: &Stack) -> Result<()> {
    let token = &world.edge.operator_token;
    for method in ["HEAD", "POST", "DELETE"] {
        let (status, head) = raw(world, method, "/v1/feed", token, "Accept: */*", "")?;
        let allow = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("allow: ").map(str::to_owned));
        ensure!(status == 405 && allow.as_deref() == Some("get"), "{method} /v1/feed: {head}");
    }
    let (status, head) = raw(world, "GET", "/v1/feed", token, "Accept: */*", "")?;
    ensure!(status == 426, "{head}");
    Ok(())
}

/// Status and head of the answer to a request that no client's library would send.
fn raw(world: &Stack, method: &str, path: &str, token: &str, headers: &str, body: &str) -> Result<(u16, String)> {
    let host = world.edge.url.strip_prefix("http://").context("the edge is asked in the clear")?;
    let mut socket = TcpStream::connect(host)?;
    socket.set_read_timeout(Some(SOON))?;
    let length = body.len();
    write!(
        socket,
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n{headers}\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut lines = BufReader::new(socket).lines();
    let mut head = String::new();
    while let Some(line) = lines.next().transpose()?.filter(|line| !line.is_empty()) {
        head += &format!("{line}\n");
    }
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).with_context(|| format!("no status: {head}"))?;
    Ok((status, head))
}

fn at_once(world: &Stack) -> Result<()> {
    let api = new_api(world, "api-many")?;
    let lines = (0..15).map(|n| key_line(&n.to_string())).collect::<Result<Vec<_>>>()?;
    let statuses = all(lines.iter().map(|line| (&api, line.as_str())))?;
    ensure!(statuses == [201; 15], "{statuses:?}");
    let held: Vec<Value> = api.get("/api/ssh/keys")?.json()?;
    let titles: HashSet<_> = held.iter().filter_map(|item| item["title"].as_str()).collect();
    ensure!(titles.len() == 15, "{titles:?}");
    Ok(())
}

fn the_same(world: &Stack) -> Result<()> {
    let (api, line) = (new_api(world, "api-same")?, key_line("same")?);
    let mut statuses = all(std::iter::repeat_n((&api, line.as_str()), 10))?;
    statuses.sort_unstable();
    ensure!(statuses[0] == 201 && statuses[1..] == [409; 9], "{statuses:?}");
    Ok(())
}

/// A daemon tells when it stops what it has not told yet.
fn last_use(world: &Stack) -> Result<()> {
    let place = Place::new(world, "last-use", &[])?;
    let api = new_api(world, &place.user.id)?;
    let used = || -> Result<Value> { Ok(api.get("/api/ssh/keys")?.json::<Value>()?[0]["lastUsedAt"].take()) };
    ensure!(used()?.is_null(), "used before any login");
    ensure!(place.user.quiet_ssh().arg(place.target()).arg("true").status()?.success());
    drop(place.region);
    within(SOON, "the key's last use", || Ok(used()?.as_str().is_some_and(|at| at.ends_with('Z'))))
}

/// All at the same time.
fn all<'a>(calls: impl Iterator<Item = (&'a Api, &'a str)>) -> Result<Vec<u16>> {
    thread::scope(|scope| {
        let calls: Vec<_> = calls.map(|(api, line)| scope.spawn(move || register(api, line))).collect();
        calls.into_iter().map(|call| Ok(call.join().map_err(|_| anyhow::anyhow!("a call panicked"))??.status)).collect()
    })
}

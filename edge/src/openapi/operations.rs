//! Every operation: what it takes, and every status that it may answer with.

use super::{examples, reference};
use drawbridge_shared::{
    api::{
        AddKey, DaemonItem, Enrol, Enrolled, HostCertificate, ImportReport, KeyItem, MintToken, MintedToken, Page, PutDaemon,
        PutRegion, PutWorkspace, RegionItem, RemoveKey, RotateToken, TokenItem, UsedKeys, UserWorkspace, WorkspaceItem,
    },
    id::UserId,
};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const LINES: &str = "application/x-ndjson";
const BYTES: &str = "application/octet-stream";

/// One method of one path.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) id: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) query: &'static [&'static str],
    pub(super) body: Option<Body>,
    pub(super) replies: Vec<Reply>,
    pub(super) problems: Vec<(u16, &'static str)>,
}

/// What it takes.
pub(super) struct Body {
    pub(super) media: &'static str,
    pub(super) schema: Value,
    pub(super) example: Value,
    pub(super) required: bool,
}

/// One good answer.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) words: &'static str,
    /// Media type, schema and example.
    pub(super) content: Option<(&'static str, Value, Value)>,
    pub(super) headers: &'static [&'static str],
}

const PAGE: &[&str] = &["cursor", "limit"];

/// Builds operations over one set of schemas.
struct Book<'a> {
    schemas: &'a mut SchemaGenerator,
    all: Vec<Operation>,
}

pub(super) fn all(schemas: &mut SchemaGenerator) -> Vec<Operation> {
    let mut book = Book { schemas, all: Vec::new() };
    book.open();
    book.keys();
    book.ssh();
    book.tokens();
    book.workspaces();
    book.daemons_and_regions();
    book.import();
    book.agent();
    book.daemon();
    book.all
}

impl Operation {
    fn takes(mut self, body: Body) -> Self {
        self.body = Some(body);
        self.may(415, "The body must be JSON").may(413, "The body is too large").may(400, "The body is not valid JSON")
    }

    fn asks(mut self, query: &'static [&'static str]) -> Self {
        self.query = query;
        self.may(400, "The cursor is not one that a list returned")
    }

    fn replies(mut self, reply: Reply) -> Self {
        self.replies.push(reply);
        self
    }

    /// A second meaning of the same status is not written down: its problem's title says it.
    fn may(mut self, status: u16, title: &'static str) -> Self {
        if self.problems.iter().all(|(known, _)| *known != status) {
            self.problems.push((status, title));
        }
        self
    }

    fn changes(self) -> Self {
        self.may(507, "The edge is full")
    }

    fn done(self) -> Self {
        self.replies(Reply { status: 204, words: "Done.", content: None, headers: &[] })
    }
}

impl Book<'_> {
    /// What every call with a token may come to.
    fn on(&mut self, method: &'static str, path: &str, id: &'static str, tag: &'static str, summary: &'static str) -> Operation {
        let problems = vec![
            (401, "The token is not valid"),
            (403, "This token's scope does not allow it"),
            (429, "Too many calls"),
            (500, "Internal error"),
            (503, "The edge's Ledger cannot be reached"),
        ];
        Operation { method, path: path.into(), id, tag, summary, query: &[], body: None, replies: Vec::new(), problems }
    }

    fn add(&mut self, operation: Operation) {
        self.all.push(operation);
    }

    fn body<T: JsonSchema>(&mut self, example: Value) -> Body {
        Body { media: JSON, schema: reference::<T>(self.schemas), example, required: true }
    }

    fn json<T: JsonSchema>(&mut self, status: u16, words: &'static str, example: Value) -> Reply {
        Reply { status, words, content: Some((JSON, reference::<T>(self.schemas), example)), headers: &[] }
    }

    fn page<T: JsonSchema>(&mut self, words: &'static str, item: Value) -> Reply {
        self.json::<Page<T>>(200, words, json!({ "items": [item] }))
    }

    /// A list in pages.
    fn list<T: JsonSchema>(&mut self, path: &str, id: &'static str, summary: &'static str, item: Value) {
        let reply = self.page::<T>("In the order of their names.", item);
        let operation = self.on("get", path, id, "operator", summary).asks(PAGE).replies(reply);
        self.add(operation);
    }

    /// What can be put: 201 when it is new, 200 when it was there.
    fn put<B: JsonSchema, T: JsonSchema>(
        &mut self,
        path: &str,
        id: &'static str,
        summary: &'static str,
        body: Value,
        item: Value,
    ) {
        let body = self.body::<B>(body);
        let (created, held) = (self.json::<T>(201, "Created.", item.clone()), self.json::<T>(200, "It was there.", item));
        let operation = self.on("put", path, id, "operator", summary).takes(body).replies(created).replies(held).changes();
        self.add(operation);
    }

    fn delete(&mut self, path: &str, id: &'static str, summary: &'static str, missing: &'static str) {
        let operation = self.on("delete", path, id, "operator", summary);
        self.add(operation.done().may(400, "This is not a valid id").may(404, missing).changes());
    }

    fn open(&mut self) {
        let reply = Reply {
            status: 200,
            words: "It runs.",
            content: Some((JSON, json!({ "type": "object" }), json!({ "status": "ok" }))),
            headers: &[],
        };
        let mut health = self.on("get", "/healthz", "health", "open", "Whether the Worker runs; asks nobody").replies(reply);
        health.problems.retain(|(status, _)| [429, 500].contains(status));
        self.add(health);
        let reply = Reply {
            status: 200,
            words: "This document.",
            content: Some((JSON, json!({ "type": "object" }), json!({ "openapi": "3.1.0" }))),
            headers: &[],
        };
        let mut document = self.on("get", crate::names::OPENAPI_PATH, "openapi", "open", "This document").replies(reply);
        document.problems.retain(|(status, _)| [429, 500, 503].contains(status));
        self.add(document);
    }

    fn keys(&mut self) {
        let listed = Reply {
            headers: &["drawbridge-stale"],
            ..self.json::<Vec<KeyItem>>(
                200,
                "By age; `drawbridge-stale: true` says that the Ledger could not be asked.",
                json!([examples::key()]),
            )
        };
        let list = self.on("get", "/api/ssh/keys", "listKeys", "keys", "All keys of the token's user").replies(listed);
        self.add(list);
        let (body, reply) = (
            self.body::<AddKey>(examples::add_key()),
            self.json::<KeyItem>(201, "Registered; it may log in now.", examples::key()),
        );
        let add = self.on("post", "/api/ssh/keys", "addKey", "keys", "Register a public key").takes(body).replies(reply);
        self.add(add.may(409, "This key is already registered").changes());
        let body = Body { required: false, ..self.body::<RemoveKey>(json!({ "publicKeyFingerprint": examples::FINGERPRINT })) };
        let mut remove = self
            .on("delete", "/api/ssh/keys", "removeKey", "keys", "Remove a key, named by the body or by the query")
            .takes(body)
            .done();
        remove.query = &["publicKeyFingerprint"];
        self.add(remove.may(404, "There is no such key").changes());
        let remove = self
            .on("delete", "/api/ssh/keys/{fingerprint}", "removeNamedKey", "keys", "Remove a key, named by the address")
            .done();
        self.add(remove.may(400, "This is not a fingerprint").may(404, "There is no such key").changes());
    }

    fn ssh(&mut self) {
        let reply = self.page::<UserWorkspace>("Each with what to type.", examples::user_workspace());
        let list = self
            .on("get", "/api/ssh/workspaces", "listMyWorkspaces", "ssh", "The workspaces that the user may enter")
            .asks(PAGE)
            .replies(reply);
        self.add(list);
        let config = self
            .on("get", "/api/ssh/config", "sshConfig", "ssh", "An ssh_config(5) to paste")
            .replies(text("For ~/.ssh/config.", examples::CONFIG));
        self.add(config);
        let known = self.on("get", "/api/ssh/known_hosts", "knownHosts", "ssh", "The line that makes every host key known");
        self.add(
            known.replies(text("For ~/.ssh/known_hosts.", examples::KNOWN_HOSTS)).may(404, "This edge certifies no host keys"),
        );
    }

    fn tokens(&mut self) {
        self.list::<TokenItem>("/api/operator/tokens", "listTokens", "Tokens, without their secrets", examples::token());
        let (body, reply) = (
            self.body::<MintToken>(examples::mint_token()),
            self.json::<MintedToken>(201, "The only time that it is shown.", examples::minted()),
        );
        let mint = self.on("post", "/api/operator/tokens", "mintToken", "operator", "Mint a token").takes(body).replies(reply);
        self.add(mint.may(404, "There is no such workspace").may(409, "No more tokens can be minted for this subject"));
        let revoke = self.on("delete", "/api/operator/tokens/{id}", "revokeToken", "operator", "Revoke a token, at once").done();
        self.add(revoke.may(404, "There is no such token"));
    }

    fn workspaces(&mut self) {
        const ONE: &str = "/api/operator/workspaces/{id}";
        const MEMBER: &str = "/api/operator/workspaces/{id}/members/{user}";
        const SLEEP: &str = "/api/operator/workspaces/{id}/sleep";
        self.list::<WorkspaceItem>(
            "/api/operator/workspaces",
            "listWorkspaces",
            "Workspaces with their members",
            examples::workspace(),
        );
        let reply = self.json::<WorkspaceItem>(200, "As it is.", examples::workspace());
        let get = self.on("get", ONE, "getWorkspace", "operator", "One workspace").replies(reply);
        self.add(get.may(400, "This is not a valid id").may(404, "There is no such workspace"));
        self.put::<PutWorkspace, WorkspaceItem>(
            ONE,
            "putWorkspace",
            "Create a workspace, or move it",
            json!({ "region": "eu" }),
            examples::workspace(),
        );
        self.delete(
            ONE,
            "deleteWorkspace",
            "Remove a workspace, its members and its agent's tokens",
            "There is no such workspace",
        );
        let sleep = self.on("put", SLEEP, "putToSleep", "operator", "Say that a workspace sleeps: its members are told").done();
        self.add(sleep.may(400, "This is not a valid id").may(404, "There is no such workspace").changes());
        self.delete(SLEEP, "wake", "Say that a workspace is awake", "There is no such workspace");
        self.delete(
            &format!("{ONE}/agent-key"),
            "resetAgentKey",
            "Let another agent enrol",
            "There is no such workspace with an enrolled agent",
        );
        let body = Body { required: false, ..self.body::<RotateToken>(json!({ "graceSeconds": 3600 })) };
        let reply = self.json::<MintedToken>(201, "The only time that it is shown.", examples::minted_agent());
        let rotate =
            self.on("post", &format!("{ONE}/agent-token"), "rotateAgentToken", "operator", "A new agent token; older ones end");
        self.add(
            rotate
                .takes(body)
                .replies(reply)
                .may(404, "There is no such workspace")
                .may(409, "No more tokens can be minted for this subject"),
        );
        let reply = self.page::<UserId>("In the order of their names.", json!("alice"));
        let members =
            self.on("get", &format!("{ONE}/members"), "listMembers", "operator", "Who may enter").asks(PAGE).replies(reply);
        self.add(members.may(404, "There is no such workspace"));
        let admit = self.on("put", MEMBER, "putMember", "operator", "Let a user in").done().may(400, "This is not a valid id");
        self.add(admit.may(404, "There is no such workspace").may(409, "No more members can be added").changes());
        self.delete(MEMBER, "deleteMember", "Keep a user out", "There is no such member of this workspace");
    }

    fn daemons_and_regions(&mut self) {
        const DAEMON: &str = "/api/operator/daemons/{id}";
        const REGION: &str = "/api/operator/regions/{region}";
        self.list::<DaemonItem>("/api/operator/daemons", "listDaemons", "The directory of daemons", examples::daemon());
        self.put::<PutDaemon, DaemonItem>(
            DAEMON,
            "putDaemon",
            "Register a daemon, or change it",
            examples::put_daemon(),
            examples::daemon(),
        );
        self.last(|put| put.may(409, "Another daemon has this identity"));
        self.delete(DAEMON, "deleteDaemon", "Remove a daemon and its tokens", "There is no such daemon");
        self.list::<RegionItem>("/api/operator/regions", "listRegions", "How regions are reached by SSH", examples::region());
        self.put::<PutRegion, RegionItem>(
            REGION,
            "putRegion",
            "Say how a region's daemons are reached by SSH",
            examples::put_region(),
            examples::region(),
        );
        self.last(|put| put.may(409, "No more regions can be registered"));
        self.delete(REGION, "deleteRegion", "Forget how a region is reached", "There is no such registered region");
    }

    fn last(&mut self, change: impl FnOnce(Operation) -> Operation) {
        let last = self.all.pop().map(change);
        self.all.extend(last);
    }

    fn import(&mut self) {
        let schema = json!({ "type": "string", "description": "Up to 1000 lines and 1 MiB, each line an ImportLine." });
        let _listed = reference::<drawbridge_shared::api::ImportLine>(self.schemas);
        let body = Body { media: LINES, schema, example: examples::IMPORT.into(), required: true };
        let reply = self.json::<ImportReport>(
            200,
            "What became of the lines; those that failed have their reasons.",
            examples::import_report(),
        );
        let import =
            self.on("post", "/api/operator/import", "import", "operator", "Import many keys, workspaces and members").takes(body);
        self.add(import.replies(reply).changes());
    }

    fn agent(&mut self) {
        let (body, reply) = (
            self.body::<Enrol>(examples::enrol()),
            self.json::<Enrolled>(200, "The key is this workspace's.", examples::enrolled()),
        );
        let enrol = self.on("post", "/v1/agent/enrol", "enrol", "agent", "Register the workspace key").takes(body).replies(reply);
        self.add(
            enrol.may(404, "There is no such workspace").may(409, "Another agent key is enrolled for this workspace").changes(),
        );
        let document = self.on("get", "/v1/agent/authorized-keys", "authorizedKeys", "agent", "The signed list of who may enter");
        let document = document.replies(Reply { headers: &["ETag"], ..text("A line of JSON and its SSHSIG.", examples::SIGNED) });
        self.add(document.replies(unchanged()).may(404, "There is no such workspace").changes());
        self.certificate("/v1/agent/host-certificate", "agentHostCertificate", "agent");
    }

    fn daemon(&mut self) {
        let manifest = self.on("get", "/v1/snapshot", "manifest", "daemon", "The signed manifest");
        let manifest = manifest.replies(Reply {
            headers: &["ETag", "drawbridge-stale"],
            ..text("A line of JSON and its SSHSIG.", examples::SIGNED)
        });
        self.add(manifest.replies(unchanged()));
        let shard = Reply {
            status: 200,
            words: "Immutable.",
            content: Some((BYTES, json!({ "type": "string", "format": "binary" }), json!(""))),
            headers: &[],
        };
        let blob =
            self.on("get", "/v1/snapshot/blob/{hash}", "shard", "daemon", "A shard, by the SHA-256 of its bytes").replies(shard);
        self.add(blob.may(400, "A shard is named by 64 lower-case hex digits").may(404, "There is no such shard"));
        let upgraded =
            Reply { status: 101, words: "A WebSocket: the manifest now, and every next one.", content: None, headers: &[] };
        let feed = self.on("get", "/v1/feed", "feed", "daemon", "Every manifest as it is published").replies(upgraded);
        self.add(feed.may(426, "The feed is a WebSocket"));
        self.certificate("/v1/daemon/host-certificate", "daemonHostCertificate", "daemon");
        let body = self.body::<UsedKeys>(examples::used());
        let used = self.on("post", "/v1/daemon/used", "reportUse", "daemon", "Report keys that logged in").takes(body).done();
        self.add(used);
    }

    fn certificate(&mut self, path: &str, id: &'static str, tag: &'static str) {
        let reply = self.json::<HostCertificate>(200, "Of the caller's own host key.", examples::certificate());
        let get = self.on("get", path, id, tag, "A certificate by the host CA").replies(reply);
        self.add(get.may(404, "There is no such host certificate"));
    }
}

fn text(words: &'static str, example: &str) -> Reply {
    Reply { status: 200, words, content: Some((TEXT, json!({ "type": "string" }), json!(example))), headers: &[] }
}

fn unchanged() -> Reply {
    Reply { status: 304, words: "What `If-None-Match` names is current.", content: None, headers: &["ETag"] }
}

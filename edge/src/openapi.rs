//! The API's own description (OpenAPI 3.1), made from the types that cross the wire. Never in the Worker: it serves a file.

mod examples;
mod operations;

use drawbridge_shared::api::Problem;
use operations::{Body, Operation, Reply};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// What a caller has to bear.
const SECURITY: &str = "bearer";
const PROBLEM: &str = "application/problem+json";

/// The whole document.
pub fn document() -> Value {
    let mut schemas =
        SchemaSettings::draft2020_12().with(|it| it.definitions_path = "/components/schemas".into()).into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations::all(&mut schemas) {
        let path = paths.entry(operation.path.clone()).or_insert_with(|| json!({}));
        path[operation.method] = described(&operation, &mut schemas);
    }
    json!({
        "openapi": "3.1.0",
        "info": info(),
        "tags": tags(),
        "paths": paths,
        "components": {
            "securitySchemes": { SECURITY: security() },
            "schemas": schemas.take_definitions(true),
        },
    })
}

fn info() -> Value {
    json!({
        "title": "Drawbridge",
        "version": env!("CARGO_PKG_VERSION"),
        "summary": "SSH into cloud workspaces with the OpenSSH you already have",
        "description": "Register public keys, then `ssh -J <region> user@<workspaceId>`. Every answer of 400 and above is a \
                        problem with a `traceId`; every write may be asked for again.",
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
    })
}

fn tags() -> Value {
    json!([
        { "name": "keys", "description": "A user's own public keys (token of scope `user`)." },
        { "name": "ssh", "description": "What a user's `ssh` has to know (token of scope `user`)." },
        { "name": "operator", "description": "Running the platform (token of scope `operator`)." },
        { "name": "agent", "description": "For a workspace's agent (token of scope `agent`)." },
        { "name": "daemon", "description": "For daemons (token of scope `daemon`); snapshots for operators too." },
        { "name": "open", "description": "For everybody." },
    ])
}

fn security() -> Value {
    json!({
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "dbu_, dbo_, dba_ or dbd_ and 48 characters of base64url",
        "description": "A Drawbridge token. Its prefix tells its scope: user, operator, agent, daemon.",
    })
}

fn described(operation: &Operation, schemas: &mut SchemaGenerator) -> Value {
    let mut value = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "responses": responses(operation, schemas),
        "security": if operation.tag == "open" { json!([]) } else { json!([{ SECURITY: [] }]) },
    });
    let parameters = parameters(operation);
    if !parameters.is_empty() {
        value["parameters"] = parameters.into();
    }
    if let Some(body) = &operation.body {
        value["requestBody"] = request_body(body);
    }
    value
}

fn request_body(Body { media, schema, example, required }: &Body) -> Value {
    json!({ "required": required, "content": { *media: { "schema": schema, "example": example } } })
}

/// Those in the path, which the path names, and those of the query.
fn parameters(operation: &Operation) -> Vec<Value> {
    let named = operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = named.map(|name| parameter(name, "path"));
    in_path.chain(operation.query.iter().map(|name| parameter(name, "query"))).collect()
}

fn parameter(name: &str, place: &str) -> Value {
    let (schema, example) = examples::parameter(name);
    json!({ "name": name, "in": place, "required": place == "path", "schema": schema, "example": example })
}

fn responses(operation: &Operation, schemas: &mut SchemaGenerator) -> Value {
    let mut all = Map::new();
    for Reply { status, words, content, headers } in &operation.replies {
        let mut reply = json!({ "description": words });
        if let Some((media, schema, example)) = content {
            reply["content"] = json!({ *media: { "schema": schema, "example": example } });
        }
        if !headers.is_empty() {
            reply["headers"] = headers.iter().map(|name| (name.to_string(), json!({ "schema": { "type": "string" } }))).collect();
        }
        all.insert(status.to_string(), reply);
    }
    for (status, title) in &operation.problems {
        all.insert(status.to_string(), problem(*status, title, schemas));
    }
    all.into()
}

fn problem(status: u16, title: &str, schemas: &mut SchemaGenerator) -> Value {
    let example = Problem { status, title: title.into(), detail: None, trace_id: "9f86d081884c7d65".into() };
    let mut value = json!({
        "description": title,
        "content": { PROBLEM: { "schema": reference::<Problem>(schemas), "example": example } },
    });
    match status {
        401 => value["headers"] = json!({ "WWW-Authenticate": { "schema": { "const": "Bearer" } } }),
        429 | 503 => value["headers"] = json!({ "Retry-After": { "schema": { "type": "integer" }, "description": "Seconds." } }),
        _ => {}
    }
    value
}

fn reference<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Value {
    schemas.subschema_for::<T>().to_value()
}

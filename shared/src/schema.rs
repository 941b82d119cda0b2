//! How ids, fingerprints and times look in JSON, for the API's own description.

use crate::{
    fingerprint::Fingerprint,
    id::{DaemonId, UserId, WorkspaceId},
    time::Timestamp,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

macro_rules! text {
    ($($name:ident: $schema:tt),* $(,)?) => {$(
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

text! {
    UserId: {
        "type": "string",
        "description": "A user of the platform: visible ASCII, otherwise opaque.",
        "pattern": "^[!-~]{1,64}$",
        "not": { "enum": [".", ".."] },
        "examples": ["alice"],
    },
    WorkspaceId: {
        "type": "string",
        "description": "A workspace: a decimal integer below 2^64, or a DNS label that does not start with 'ws-'.",
        "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        "examples": ["796636"],
    },
    DaemonId: {
        "type": "string",
        "description": "A daemon: a DNS label.",
        "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        "examples": ["eu-1"],
    },
    Fingerprint: {
        "type": "string",
        "description": "SHA-256 of a public key, as `ssh-keygen -lf` prints it.",
        "pattern": "^SHA256:[A-Za-z0-9+/]{43}$",
        "examples": ["SHA256:kyACqo6dCQiHxwkTuio8sXvt+GX5xd8eHYNywN0h7Oo"],
    },
    Timestamp: {
        "type": "string",
        "format": "date-time",
        "description": "RFC 3339, in whole seconds.",
        "examples": ["2026-11-23T09:30:00Z"],
    },
}

//! Bodies of the REST API: what callers send, and what existing clients decode.

mod import;
mod integer;
mod machine;
mod operator;
mod user;

pub use import::{ImportFailure, ImportLine, ImportReport, ImportType};
pub use machine::{Enrol, Enrolled, HostCertificate, UsedKey, UsedKeys};
pub use operator::{
    DaemonItem, MintToken, MintedToken, PutDaemon, PutRegion, PutWorkspace, RegionItem, RotateToken, TokenItem, WorkspaceItem,
};
pub use user::{AddKey, KeyItem, RemoveKey, UserWorkspace};

use serde::{Deserialize, Serialize};

/// Largest request body, in bytes.
pub const MAX_BODY: usize = 16 * 1024;
/// SSHSIG namespace of an enrolment's proof; the message is the agent token's id (hex SHA-256), so that it fits one token.
pub const ENROL_NAMESPACE: &str = "enrol@drawbridge";
/// Most keys in one report of use: they fit [`MAX_BODY`].
pub const MAX_USED: usize = 80;
/// Most names of a region's jump host.
pub const MAX_HOSTS: usize = 8;
/// Longest region name.
pub const MAX_REGION: usize = 63;
/// Most addresses a daemon may announce.
pub const MAX_ADDRESSES: usize = 8;
/// Longest `host:port`.
pub const MAX_ADDRESS: usize = 255;

/// Body of every 4xx and 5xx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// What happened.
    pub title: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What to quote when asking for help.
    pub trace_id: String,
}

/// One page of a list in the operator API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Page<T> {
    /// In the order of their names.
    pub items: Vec<T>,
    /// What to send as `?cursor=` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_page_has_no_cursor() {
        let page = |cursor| serde_json::to_string(&Page { items: vec![1], cursor }).unwrap();
        assert_eq!(page(None), r#"{"items":[1]}"#);
        assert_eq!(page(Some("a".into())), r#"{"items":[1],"cursor":"a"}"#);
        for last in [r#"{"items":[]}"#, r#"{"items":[],"cursor":null}"#] {
            assert_eq!(serde_json::from_str::<Page<u8>>(last).unwrap().cursor, None, "{last}");
        }
    }
}

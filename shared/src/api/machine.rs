//! What agents and daemons send and get.

use crate::{
    fingerprint::Fingerprint,
    id::{UserId, WorkspaceId},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// `POST /v1/agent/enrol`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Enrol {
    /// The workspace key, `ssh-ed25519 AAAA...`.
    pub public_key: String,
    /// Armored SSHSIG by that key over the agent token's id (hex SHA-256), namespace [`ENROL_NAMESPACE`].
    pub proof: String,
}

/// Answer to an enrolment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Enrolled {
    /// The token's workspace.
    pub workspace: WorkspaceId,
    /// Where it runs.
    pub region: String,
    /// See [`HostCertificate`]; absent where the edge has no host CA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_certificate: Option<HostCertificate>,
}

/// Answer to `GET /v1/agent/host-certificate` and `GET /v1/daemon/host-certificate`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HostCertificate {
    /// `ssh-ed25519-cert-v01@openssh.com AAAA...`, of the workspace key or the daemon's identity (OpenSSH PROTOCOL.certkeys).
    pub certificate: String,
    /// Until when it is good; a new one is to be fetched well before.
    pub valid_before: Timestamp,
}

/// `POST /v1/daemon/used`: logins that were granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UsedKeys {
    /// At most [`MAX_USED`]; the newest use of each key.
    pub used: Vec<UsedKey>,
}

/// One key that logged in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UsedKey {
    /// Whose it is.
    pub user: UserId,
    /// Which it is.
    pub public_key_fingerprint: Fingerprint,
    /// When.
    pub used_at: Timestamp,
}

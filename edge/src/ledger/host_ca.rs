//! The host CA: vouches for workspace keys and daemon identities under every name that `ssh` may know them by.

use super::{change::Change, daemons, regions};
use crate::{
    facts::{DaemonFact, WorkspaceFact},
    limits::{CERTIFICATE_LIFETIME, CERTIFICATE_SKEW},
    names,
    refusal::{Refusal, Thing},
    rows::{Rows, RowsFault},
    secrets::Secrets,
};
use drawbridge_shared::{
    api::HostCertificate,
    id::{DaemonId, WorkspaceId},
    target,
};
use ssh_key::{
    PublicKey,
    certificate::{Builder, CertType},
};
use std::{net::IpAddr, slice};

/// Who a certificate is about.
struct Subject {
    name: String,
    key: String,
    principals: Vec<String>,
}

/// A certificate of the workspace's enrolled key.
pub(super) fn workspace<R: Rows>(
    change: &Change<'_, R>,
    secrets: &Secrets,
    id: &WorkspaceId,
    nonce: [u8; 32],
) -> Result<HostCertificate, Refusal> {
    let fact: Option<WorkspaceFact> = change.fact(&names::workspace(id))?;
    let fact = fact.ok_or(Refusal::NotFound(Thing::Workspace))?;
    let key = fact.agent_key.ok_or(Refusal::NotFound(Thing::HostCertificate))?;
    let own = regions::hosts(change, &fact.region)?;
    let mut principals = principals(id, &own);
    // Whoever holds a workspace is no jump host, whatever it is called.
    let mut jump_hosts = [own, regions::all_hosts(change)?].concat();
    jump_hosts
        .extend(daemons::entries(change)?.iter().flat_map(|daemon| &daemon.addresses).filter_map(|address| host_of(address)));
    principals.retain(|name| !jump_hosts.contains(name));
    certify(change, secrets, Subject { name: format!("ws-{id}"), key, principals }, nonce)
}

/// A certificate of the daemon's registered identity: under the names of its region, and those of its addresses that can name no
/// workspace. Whoever steals a daemon has what it was certified for, and carries the SSH connections of all workspaces.
pub(super) fn daemon<R: Rows>(
    change: &Change<'_, R>,
    secrets: &Secrets,
    id: &DaemonId,
    nonce: [u8; 32],
) -> Result<HostCertificate, Refusal> {
    let fact: Option<DaemonFact> = change.fact(&names::daemon(id))?;
    let fact = fact.ok_or(Refusal::NotFound(Thing::HostCertificate))?;
    let (registered, mut domains) = (regions::registered(change, &fact.region)?, regions::all_hosts(change)?);
    let mut others: Vec<_> = fact.addresses.iter().filter_map(|address| host_of(address)).collect();
    if registered.is_none() {
        others.push(fact.region.clone());
        domains.push(fact.region);
    }
    others.retain(|name| !may_name_a_workspace(name, &domains));
    let principals = [registered.unwrap_or_default(), others].concat();
    if principals.is_empty() {
        return Err(Refusal::NotFound(Thing::HostCertificate));
    }
    certify(change, secrets, Subject { name: id.to_string(), key: fact.identity, principals }, nonce)
}

/// `ws-<id>` and `<id>`, both with each of the region's names behind, and what OpenSSH makes of a bare integer.
fn principals(id: &WorkspaceId, hosts: &[String]) -> Vec<String> {
    let plain = [id.to_string(), format!("ws-{id}")];
    let domains = hosts.iter().filter(|host| host.parse::<IpAddr>().is_err());
    let full = domains.flat_map(|domain| plain.iter().map(move |name| format!("{name}.{domain}")));
    let quad = id.dotted_quad().map(|quad| quad.to_string());
    plain.iter().cloned().chain(full).chain(quad).collect()
}

/// Whether somebody may type it for a workspace, of whichever region.
fn may_name_a_workspace(name: &str, domains: &[String]) -> bool {
    domains.iter().any(|domain| target::parse(name, target::SSH_PORT, slice::from_ref(domain)).is_ok())
}

/// In lower case, as `ssh` compares it.
fn host_of(address: &str) -> Option<String> {
    let (host, _) = address.rsplit_once(':')?;
    Some(host.trim_matches(['[', ']']).to_ascii_lowercase())
}

fn certify<R: Rows>(
    change: &Change<'_, R>,
    secrets: &Secrets,
    subject: Subject,
    nonce: [u8; 32],
) -> Result<HostCertificate, Refusal> {
    let ca = secrets.host_ca().ok_or(Refusal::NotFound(Thing::HostCertificate))?;
    let key = PublicKey::from_openssh(&subject.key).map_err(|_| RowsFault("a host key is no key".into()))?;
    let now = change.now();
    let valid_before = now.after(CERTIFICATE_LIFETIME);
    let valid_after = now.as_unix().saturating_sub(CERTIFICATE_SKEW.as_secs());
    let signed = || {
        let mut builder = Builder::new(nonce, key, valid_after, valid_before.as_unix())?;
        builder.serial(now.as_unix())?.key_id(subject.name)?.cert_type(CertType::Host)?;
        for (at, principal) in subject.principals.iter().enumerate() {
            if !subject.principals.iter().take(at).any(|before| before == principal) {
                builder.valid_principal(principal)?;
            }
        }
        builder.sign(ca)?.to_openssh()
    };
    let certificate = signed().map_err(|fault| RowsFault(format!("a host key cannot be certified: {fault}")))?;
    Ok(HostCertificate { certificate, valid_before })
}
